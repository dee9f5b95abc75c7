"""The comparison's page: whole, offline, and with nothing that the data could inject."""

from html.parser import HTMLParser
from typing import Any

from tao_skill.metric_learning.compare.page import comparison_page


def row(label: str, speed: float) -> dict[str, Any]:
    return {
        "label": label,
        "precision_at_1": 0.5,
        "mean_average_precision": 0.6,
        "mean_cosine": 0.999,
        "worst_cosine": 0.98,
        "images_per_second": {"1": speed, "16": 4 * speed},
        "speedup": {"1": speed / 10, "16": speed / 10},
        "memory_bytes": 2e8,
        "file_bytes": 1.5e7,
    }


DOCUMENT = {
    "rows": [row("torch FP32", 10.0), row("OpenVINO <INT8>", 40.0)],
    "skipped": [{"label": "TensorRT", "reason": "this machine has no NVIDIA GPU"}],
    "batches": [1, 16],
    "rounds": 3,
    "data": {"num_queries": 4, "num_references": 2, "num_classes": 2},
    "machine": {"processor": "A & B", "cores": 2, "gpu": None, "load": 9.0},
}


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_page_holds_every_number_and_needs_nothing_else() -> None:
    reader = Reader()
    reader.feed(comparison_page(DOCUMENT))
    text = " ".join(reader.text)
    assert reader.links == []
    assert "script" not in reader.tags
    assert reader.tags.count("tr") == 3
    assert "OpenVINO <INT8>" in text
    assert "160.0/s, 4.00×" in text
    assert "The machine was busy" in text
    assert "Not run: TensorRT: this machine has no NVIDIA GPU." in text
