"""Embeddings as Parquet, as another tool reads them."""

import os
import sys
from pathlib import Path

import pytest
import torch
from pyarrow import parquet

from tao_skill.errors import NotAvailableError, StorageError
from tao_skill.metric_learning import embeddings_file
from tao_skill.metric_learning.embeddings_file import EmbeddedSet, check_can_write, write_embeddings


def test_what_is_written_is_what_another_tool_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings_file, "_ROWS_PER_GROUP", 3)
    reference, query = torch.randn(7, 5), torch.randn(2, 5)
    sets = [
        EmbeddedSet("reference", [f"r{i}.png" for i in range(7)], [f"class {i % 2}" for i in range(7)], reference),
        EmbeddedSet("query", ["q.png", os.fsdecode(b"caf\xe9.png")], None, query),
    ]
    write_embeddings(tmp_path / "e.parquet", sets, "abc")
    table = parquet.read_table(tmp_path / "e.parquet")
    assert table.column_names == ["set", "path", "label", "embedding"]
    assert table["set"].to_pylist() == ["reference"] * 7 + ["query"] * 2
    assert table["path"].to_pylist()[-1] == "caf\\udce9.png"
    assert table["label"].to_pylist()[5:] == ["class 1", "class 0", None, None]
    assert torch.equal(torch.tensor(table["embedding"].to_pylist()), torch.cat([reference, query]))
    assert table.schema.metadata == {b"fingerprint": b"abc"}
    assert str(table.schema.field("embedding").type) == "fixed_size_list<element: float>[5]"


def test_without_pyarrow_it_is_said_before_anything_is_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(NotAvailableError, match="pyarrow") as caught:
        check_can_write(True, "evaluate.save_embeddings")
    assert "[gallery]" in caught.value.next_step
    check_can_write(False, "evaluate.save_embeddings")


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write_embeddings(tmp_path / "file" / "e.parquet", [EmbeddedSet("query", ["a"], None, torch.ones(1, 2))], "abc")
