"""R69 R70: the right checkpoint, with the reason; each peer case is one where the peer takes a wrong file."""

from dataclasses import replace

import pytest

from tao_skill.errors import CheckpointError
from tao_skill.run.checkpoint_choice import Candidate, from_name, select


def named(*paths: str) -> list[Candidate]:
    return [from_name(path) for path in paths]


def recorded(path: str, epoch: int, metric: float | None = None, *words: str, step: int = 0) -> Candidate:
    return Candidate(
        path,
        epoch=epoch,
        step=step,
        metric=metric,
        metric_text=f"val Precision at Rank 1 = {metric}",
        named=frozenset(words),
        recorded=True,
        periodic="best" not in words,
    )


@pytest.mark.parametrize(
    ("path", "epoch", "step"),
    [
        ("train/ml_model_epoch_005_step_00100.pth", 5, 100),
        ("model_epoch_009_step_01000.pth", 9, 1000),
        ("ml_model_epoch=029.pth", 29, None),  # peer case: `=` is not parsed
        ("epoch=3-step=120.ckpt", 3, 120),
        ("epoch-7.pt", 7, None),
        ("checkpoint-epoch12.pth", 12, None),
        ("EPOCH_4.pth", 4, None),
        ("model_ep_6_iter_80.pth", 6, 80),
        ("model_best_12.pth", 12, None),
        ("epoch_3/model.pth", None, None),
        ("resnet_50.pth", None, None),
        ("timestep_3.pth", None, None),
        ("step_9.pth", None, 9),
        ("model_epoch_12abc.pth", None, None),
    ],
)
def test_numbers_in_names(path: str, epoch: int | None, step: int | None) -> None:
    candidate = from_name(path)
    assert (candidate.epoch, candidate.step) == (epoch, step)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("model_best.pth", {"best"}),
        ("best.pth", {"best"}),
        ("best-epoch=3.ckpt", {"best"}),
        ("model_best_epoch_003.pth", {"best"}),
        ("data/best_buy/model_epoch_003.pth", set()),  # peer case: counts as best
        ("best_buy_epoch_003.pth", set()),
        ("latest_runs/model_epoch_003.pth", set()),
        ("ml_model_latest.pth", {"latest"}),
        ("last.ckpt", {"latest"}),
    ],
)
def test_words_in_names(path: str, words: set[str]) -> None:
    assert from_name(path).named == words


def test_epoch_is_met_exactly() -> None:  # peer case: the pattern never matches, so the latest is taken
    files = named("ml_model_epoch_005_step_00100.pth", "ml_model_epoch_009_step_00180.pth", "ml_model_epoch=029.pth")
    assert select(files, "torch", "epoch", 5).path == "ml_model_epoch_005_step_00100.pth"
    assert select(files, "torch", "epoch", 29).path == "ml_model_epoch=029.pth"
    with pytest.raises(CheckpointError) as caught:
        select(files, "torch", "epoch", 6)
    assert "5, 9, 29" in caught.value.problems[0].expected


def test_epochs_come_before_steps() -> None:  # peer case: latest compares steps
    files = named("model_epoch_005_step_09999.pth", "model_epoch_009_step_00050.pth")
    assert select(files, "torch", "latest").path == "model_epoch_009_step_00050.pth"
    files = named("model_epoch_009_step_00050.pth", "model_epoch_009_step_00100.pth")
    assert select(files, "torch", "latest").path == "model_epoch_009_step_00100.pth"


@pytest.mark.parametrize("order", [1, -1])
def test_pretrained_weights_are_no_candidates(order: int) -> None:  # peer case: ptm/resnet.pth wins
    files = named("ml_model_epoch=029.pth", "ml_model_epoch=039.pth", "ptm/resnet.pth")[::order]
    choice = select(files, "torch", "latest")
    assert (choice.path, choice.epoch) == ("ml_model_epoch=039.pth", 39)


@pytest.mark.parametrize("place", ["inputs", "ptm", "__pycache__", ".tao"])
def test_staged_inputs_are_no_candidates(place: str) -> None:  # peer case: inputs/ wins
    files = named(f"train/{place}/model_epoch_099.pth", "train/model_epoch_009.pth")
    assert select(files, "torch", "latest").path == "train/model_epoch_009.pth"
    assert select(files, "torch", "best").path == "train/model_epoch_009.pth"
    with pytest.raises(CheckpointError):
        select(named(f"{place}/model_epoch_099.pth"), "torch", "latest")


LOGGED = "train/lightning_logs/version_1/checkpoints/epoch=099.ckpt"


@pytest.mark.parametrize("last", [LOGGED, "train/labels.pkl", "train/weights_epoch_099.safetensors"])
def test_logs_and_other_programs_files_come_last(last: str) -> None:  # peer case: lightning_logs/ wins
    for choose in ("latest", "best"):
        files = named(last, "train/model_epoch_009.pth")
        assert select(files, "torch", choose).path == "train/model_epoch_009.pth"  # type: ignore[arg-type]
        assert select(named(last), "torch", choose).path == last  # type: ignore[arg-type]
    assert select(named(*{last, LOGGED}), "torch", "latest").path == LOGGED
    with pytest.raises(CheckpointError):
        select(named(last), "onnx", "latest")


def test_what_the_results_name_is_the_best_whatever_it_is_called() -> None:
    handed_on = replace(from_name("train/final.bin"), named=frozenset({"result"}))
    files = [*named("train/model_epoch_009.pth", "train/other_best.pth"), handed_on]
    assert select(files, "torch", "best").path == "train/final.bin"
    assert select(files, "torch", "latest").path == "train/model_epoch_009.pth"
    assert select([*named("train/a.pkl", "train/b.pkl"), handed_on], "torch", "latest").path == "train/final.bin"
    assert select([recorded("a.pth", 1, 0.2, "best"), handed_on], "torch", "best").path == "a.pth"


def test_only_a_latest_file_is_enough() -> None:  # peer case: finds nothing
    for choose in ("latest", "best"):
        choice = select(named("train/ml_model_latest.pth"), "torch", choose)  # type: ignore[arg-type]
        assert choice.path == "train/ml_model_latest.pth"
        assert "only" in choice.reason


def test_numbers_beat_a_latest_file() -> None:  # measured: `_latest` is turned back by a failed attempt
    files = named("ml_model_latest.pth", "model_epoch_004.pth")
    assert select(files, "torch", "latest").path == "model_epoch_004.pth"
    assert select(named("ml_model_latest.pth", "weights.pth"), "torch", "latest").path == "ml_model_latest.pth"


def test_best_comes_from_the_record() -> None:  # peer case: best silently becomes latest
    files = [recorded("a.pth", 1, 0.2), recorded("b.pth", 2, 0.6), recorded("c.pth", 3, 0.4, "latest")]
    choice = select(files, "torch", "best")
    assert (choice.path, choice.warning) == ("b.pth", "")
    assert "0.6" in choice.reason
    assert select(files, "torch", "latest").path == "c.pth"
    assert select([*files, recorded("model_best.pth", 2, 0.6, "best")], "torch", "best").path == "model_best.pth"


def test_a_record_beats_names() -> None:
    files = [recorded("a.pth", 1, 0.5), *named("model_best_epoch_099.pth", "model_epoch_099.pth")]
    assert select(files, "torch", "best").path == "a.pth"
    assert select(files, "torch", "latest").path == "a.pth"


def test_equal_metrics_take_the_newer_and_nan_never_wins() -> None:
    files = [recorded("a.pth", 1, 0.5), recorded("b.pth", 2, 0.5), recorded("c.pth", 3, float("nan"))]
    assert select(files, "torch", "best").path == "b.pth"


def test_an_epoch_takes_the_periodic_file_before_the_best() -> None:
    files = [recorded("model_best.pth", 2, 0.6, "best"), recorded("p.pth", 2, 0.6)]
    assert select(files, "torch", "epoch", 2).path == "p.pth"


def test_best_by_name_without_a_record() -> None:
    files = named("model_best_003.pth", "model_best_007.pth", "model_epoch_009.pth")
    assert select(files, "torch", "best").path == "model_best_007.pth"


def test_an_unknown_best_is_said_aloud() -> None:
    choice = select(named("model_epoch_001.pth", "model_epoch_002.pth"), "torch", "best")
    assert choice.path == "model_epoch_002.pth"
    assert "No metric was recorded" in choice.warning


@pytest.mark.parametrize(
    "paths",
    [
        ("one.pth", "two.pth"),
        ("a/model_epoch_009.pth", "b/model_epoch_009.pth"),
        ("a/best.pth", "b/best.pth"),
        ("a/last.ckpt", "b/last.ckpt"),
    ],
)
def test_what_a_name_cannot_tell_is_not_guessed(paths: tuple[str, ...]) -> None:
    with pytest.raises(CheckpointError) as caught:
        select(named(*paths), "torch", "best")
    assert [problem.value for problem in caught.value.problems] == list(paths)


def test_each_consumer_gets_its_own_kind() -> None:  # peer case: models and engines are mixed
    files = named("model_epoch_009.pth", "model.onnx", "model.engine")
    assert select(files, "torch").path == "model_epoch_009.pth"
    assert select(files, "onnx").path == "model.onnx"
    assert select(files, "engine").path == "model.engine"
    assert select(named("x.ckpt"), "torch").path == "x.ckpt"
    with pytest.raises(CheckpointError) as caught:
        select(named("model.onnx"), "torch")
    assert caught.value.problems[0].value == ["model.onnx"]


def test_of_several_outputs_the_one_in_the_spec() -> None:
    files = named("model.onnx", "model_int8.onnx")
    with pytest.raises(CheckpointError):
        select(files, "onnx")
    files[0] = replace(files[0], named=frozenset({"output"}))
    assert select(files, "onnx").path == "model.onnx"


def test_nothing_at_all() -> None:
    with pytest.raises(CheckpointError, match="left no file"):
        select([], "torch")
    with pytest.raises(CheckpointError, match="which"):
        select(named("a.pth"), "torch", "epoch", None)


def test_the_order_of_files_does_not_matter() -> None:
    files = [recorded("a.pth", 1, 0.2), recorded("b.pth", 2, 0.6), *named("ml_model_latest.pth", "x_epoch_3.pth")]
    for choose in ("best", "latest"):
        assert select(files, "torch", choose) == select(files[::-1], "torch", choose)  # type: ignore[arg-type]
