"use strict";
// Sort the table by a column, and mark a trial's lines while its row is pointed at or has the focus.
const table = document.querySelector("table");
const body = table.tBodies[0];
table.querySelectorAll("thead button").forEach((button) => {
  button.addEventListener("click", () => {
    const heading = button.closest("th");
    const down = heading.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("th[aria-sort]").forEach((one) => one.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => row.cells[heading.cellIndex].dataset.sort;
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === ""); // what has no value stays at the end
      const way = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return down ? -way : way;
    });
    body.append(...rows);
  });
});
const mark = (event, on) => {
  const row = event.target.closest("tr");
  if (!row) return;
  document.querySelectorAll(`svg [data-trial="${row.dataset.trial}"]`).forEach((line) => line.classList.toggle("marked", on));
};
for (const [name, on] of [["mouseover", true], ["mouseout", false], ["focusin", true], ["focusout", false]]) {
  body.addEventListener(name, (event) => mark(event, on));
}
