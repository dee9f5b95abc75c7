"""The comparison as one HTML page that needs nothing from elsewhere."""

from collections.abc import Mapping
from html import escape
from typing import Any

__all__ = ["comparison_page"]

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #60646c; --line: #d9d9e0; --ground: #fcfcfd; --bar: #3e63dd; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #edeef0; --soft: #b0b4ba; --line: #363a3f; --ground: #111113; --bar: #849dff; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 2rem 1.5rem 3rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p, li, figcaption { color: var(--soft); margin: .25rem 0; max-width: 46rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .75rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { font-size: .8rem; font-weight: 600; color: var(--soft); vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr:first-child td { font-weight: 600; }
figure { margin: 0; display: grid; grid-template-columns: max-content 1fr; gap: .35rem .75rem; align-items: center; }
.bar { height: 1.1rem; background: var(--bar); border-radius: 2px; min-width: 2px; }
.track { display: grid; grid-template-columns: 1fr 9rem; gap: .5rem; align-items: center;
  font-variant-numeric: tabular-nums; }
"""


def comparison_page(document: Mapping[str, Any]) -> str:
    """Return the page of a comparison's document."""
    data, machine = document["data"], document["machine"]
    what = f"{data['num_queries']} queries, {data['num_references']} references, {data['num_classes']} classes"
    gpu = f", {machine['gpu']}" if machine["gpu"] else ""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>One model in {len(document['rows'])} engines</title><style>{_STYLE}</style></head><body>",
        f"<h1>One model in {len(document['rows'])} engines</h1>",
        f"<p>{escape(what)}. {escape(str(machine['processor']))}, {machine['cores']} cores{escape(gpu)}.</p>",
        _table(document),
        *(_bars(document, str(batch)) for batch in document["batches"]),
        _notes(document),
        "</body></html>\n",
    ]
    return "".join(parts)


def _table(document: Mapping[str, Any]) -> str:
    batches = [str(batch) for batch in document["batches"]]
    heads = ["Engine", "P@1", "mAP", "Mean cosine", "Worst cosine"]
    heads += [f"Images/s<br>at batch {batch}" for batch in batches] + ["Memory<br>MB", "File<br>MB"]
    rows = []
    for row in document["rows"]:
        cells = [escape(row["label"]), f"{row['precision_at_1']:.4f}", f"{row['mean_average_precision']:.4f}"]
        cells += [f"{row['mean_cosine']:.5f}", f"{row['worst_cosine']:.5f}"]
        cells += [f"{row['images_per_second'][batch]:.1f}" for batch in batches]
        cells += [f"{row['memory_bytes'] / 1e6:.0f}", f"{row['file_bytes'] / 1e6:.1f}"]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "".join(rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _bars(document: Mapping[str, Any], batch: str) -> str:
    most = max(row["speedup"][batch] for row in document["rows"])
    lines = []
    for row in document["rows"]:
        share = 100 * row["speedup"][batch] / most
        value = f"{row['images_per_second'][batch]:.1f}/s, {row['speedup'][batch]:.2f}×"
        bar = f'<div><div class="bar" style="width:{share:.1f}%"></div></div>'
        lines.append(f'<span>{escape(row["label"])}</span><div class="track">{bar}<span>{value}</span></div>')
    first = escape(document["rows"][0]["label"])
    return f"<h2>Images per second at batch {batch}, and as a multiple of {first}</h2><figure>{''.join(lines)}</figure>"


def _notes(document: Mapping[str, Any]) -> str:
    machine = document["machine"]
    notes = [
        f"Speeds are medians of {document['rounds']} rounds in which all engines took turns, each in a process of its "
        "own. Preprocessing isn't counted.",
        f"Cosines are between the embeddings of each engine and of {document['rows'][0]['label']}, over all images.",
        "Memory is the peak of the engine's process beyond what it took before the model was loaded.",
    ]
    if machine["load"] is not None and machine["load"] > machine["cores"]:
        notes.append(f"The machine was busy (load {machine['load']:.1f}): trust ratios, not absolute speeds.")
    notes += [f"Not run: {one['label']}: {one['reason']}." for one in document["skipped"]]
    return "<h2>Notes</h2><ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>"
