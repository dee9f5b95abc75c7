"""R55: what the machine has, beside what the text asks for."""

from pathlib import Path

import pytest

from tao_skill.run.preflight import look_around, parse_gpus

TABLE = "0, NVIDIA H100 80GB HBM3, 81559\n1, Small, Edition, 8192\n[Not Supported]\n2, Odd, [N/A]\n"


def test_the_table_of_nvidia_smi() -> None:
    gpus = parse_gpus(TABLE)
    assert [(gpu.index, gpu.name, gpu.memory_gb) for gpu in gpus] == [
        (0, "NVIDIA H100 80GB HBM3", 85.5),
        (1, "Small, Edition", 8.6),
        (2, "Odd", 0.0),
    ]
    assert parse_gpus("") == []


def test_a_cpu_is_said_and_does_not_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    report = look_around(tmp_path / "not" / "yet", 1)
    assert report.device == "cpu"
    assert "at least 1 GPU, recommends 2, with 16 GB each" in report.notes[0]
    assert (report.minimum_gpus, report.recommended_gpus, report.vram_gb_per_gpu) == (1, 2, 16)
    assert report.disk_free_gb is not None
    assert not (tmp_path / "not").exists()


def test_small_and_few_gpus_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '0, Small, 8192'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    report = look_around(tmp_path, 4)
    assert report.device == "cuda"
    text = " ".join(report.notes)
    assert "4 GPUs are asked for, but this machine has 1" in text
    assert "has 9 GB of memory" in text
    assert "has 1 GPU:" in text
    program.write_text("#!/bin/sh\nexit 9\n")
    assert look_around(tmp_path, 1).device == "cpu"


@pytest.mark.parametrize(
    ("allowed", "told", "not_told"),
    [
        ("0", "2 GPUs are asked for, but CUDA_VISIBLE_DEVICES leaves 1.", "Small"),
        ("1", "CUDA_VISIBLE_DEVICES leaves 1 GPU: the skill asks", "this machine has"),
        ("0,1", "GPU 1 (Small) has 9 GB", "leaves"),
        ("", "CUDA_VISIBLE_DEVICES hides the GPUs", "Small"),
    ],
)
def test_notes_count_the_gpus_that_may_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: str, told: str, not_told: str
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '0, Large, 81559'\necho '1, Small, 8192'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    text = " ".join(look_around(tmp_path, 2).notes)
    assert told in text
    assert not_told not in text


def test_what_the_skill_asks_for_is_no_note_where_nothing_is_trained(tmp_path: Path) -> None:
    assert not [note for note in look_around(tmp_path, 1, training=False).notes if "GPU" in note]
