"""The gallery from the shell: a product comes and goes without training."""

from __future__ import annotations

import functools
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tao_skill.cli.main import main
from tao_skill.metric_learning.model.checkpoint import HEADER, header, save_atomically
from tao_skill.metric_learning.model.recogniser import ModelSettings, build_recogniser

COLOURS = {"cherry": (200, 20, 30), "lemon": (240, 230, 40), "plum": (90, 30, 120)}
SETTINGS = ModelSettings("resnet_50", "resnet10t", 32, 32, 3, 8)
QUICK = ["--overrides", "dataset.workers=0"]


def write_model(path: Path, seed: int) -> Path:
    recogniser = build_recogniser(SETTINGS, seed)
    weights = {f"recogniser.{name}": value for name, value in recogniser.state_dict().items()}
    own = header(
        model_name="test", model=SETTINGS.document(), transform={"pixel_mean": [0.5] * 3, "pixel_std": [0.5] * 3},
        recognition={}, epoch=0, step=1, metrics={},
    )  # fmt: skip
    save_atomically({HEADER: own, "state_dict": weights}, path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an untrained model: colours are told apart all the same."""
    return write_model(tmp_path_factory.mktemp("model") / "model.pth", 1)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Return a folder of class folders with two images each."""
    for name, colour in COLOURS.items():
        (tmp_path / "shop" / name).mkdir(parents=True)
        for i in range(2):
            image = Image.new("RGB", (40, 40), colour)
            image.putpixel((i, 3), (0, 0, 0))
            image.save(tmp_path / "shop" / name / f"{i}.png")
    return tmp_path / "shop"


@pytest.fixture
def gallery(tmp_path: Path, shop: Path, model: Path) -> Path:
    folder = tmp_path / "gallery"
    arguments = ["gallery", "build", "--gallery", str(folder), "--checkpoint", str(model), "--reference", str(shop)]
    assert main([*arguments, *QUICK]) == 0
    return folder


@pytest.fixture
def served(model: Path) -> Iterator[str]:
    """Return the link to the model on a web server."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(model.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/{model.name}"
        server.shutdown()
        thread.join()


def answer(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["gallery", *arguments, "--json"]) == code
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_build_query_add_and_remove(gallery: Path, shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--gallery", str(gallery)]
    asked = ["query", *where, "--images", str(shop / "lemon" / "0.png"), "--topk", "2", *QUICK]
    found = answer(asked, capsys)
    assert found["results"][0]["recognised_as"] == "lemon"
    assert [match["label"] for match in found["results"][0]["matches"]] == ["lemon", "lemon"]
    assert found["results"][0]["matches"][0]["distance"] == pytest.approx(0, abs=1e-5)
    assert found["search"]["kind"] == "exact"
    assert answer(["remove", *where, "--label", "lemon"], capsys)["removed"] == 2
    assert answer(asked, capsys)["results"][0]["recognised_as"] != "lemon"
    back = answer(["add", *where, "--label", "lemon", "--images", str(shop / "lemon"), *QUICK], capsys)
    assert (back["added"], back["embedded"], back["num_images"]) == (2, 2, 6)
    assert answer(["add", *where, "--reference", str(shop), *QUICK], capsys)["embedded"] == 0
    assert answer(["info", *where], capsys)["classes"] == {"cherry": 2, "lemon": 2, "plum": 2}
    assert answer(asked, capsys)["results"][0]["recognised_as"] == "lemon"


def test_single_images_are_listed_and_removed_by_the_path_they_came_with(
    gallery: Path, shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ["--gallery", str(gallery)]
    monkeypatch.chdir(shop)
    assert answer(["add", *where, "--label", "lime", "--images", "lemon/0.png", *QUICK], capsys)["added"] == 1
    found = answer(["list", *where, "--label", "lime", "plum"], capsys)
    assert [Path(one["path"]).relative_to(shop).as_posix() for one in found["images"]] == [
        "lemon/0.png", "plum/0.png", "plum/1.png",
    ]  # fmt: skip
    few = answer(["list", *where, "--limit", "2"], capsys)
    assert (few["num_images"], len(few["images"])) == (7, 2)
    assert "did you mean plum" in json.dumps(answer(["list", *where, "--label", "plumb"], capsys, 2))
    assert "--limit" in json.dumps(answer(["list", *where, "--limit", "0"], capsys, 2))
    nowhere = answer(["remove", *where, "--image", "lime/0.png"], capsys, 2)["error"]
    assert "gallery list" in nowhere["next_step"]
    asked = answer(["query", *where, "--images", "lemon/0.png", "plum/0.png", *QUICK], capsys)
    assert [(one["recognised_as"], one["as_near"]) for one in asked["results"]] == [("lemon", ["lime"]), ("plum", [])]
    assert any("is lemon = lime" in warning for warning in asked["warnings"])
    # One file is there under two names; as its SHA-256, its path takes both.
    assert answer(["remove", *where, "--image", "lemon/0.png"], capsys)["removed"] == 2
    assert answer(["remove", *where, "--image", found["images"][1]["sha256"]], capsys)["removed"] == 1
    assert main(["gallery", "list", *where, "--limit", "1"]) == 0
    assert "… and 3 images more; --limit 4 lists them" in capsys.readouterr().out


def test_what_people_read(gallery: Path, shop: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    image = shop / "plum" / "1.png"
    far = ["--reject-distance", "0"]
    assert main(["gallery", "query", "--gallery", str(gallery), "--images", str(image), *far, *QUICK]) == 0
    assert capsys.readouterr().out.startswith(f"{image} -> ")
    assert main(["gallery", "info", "--gallery", str(gallery)]) == 0
    told = capsys.readouterr().out
    assert "6 images of 3 classes" in told
    assert "several class names" not in told
    assert str(model) in told
    # A class that got a new name, while the old one is still there.
    renamed = ["gallery", "add", "--gallery", str(gallery), "--label", "prune", "--images", str(shop / "plum")]
    assert main([*renamed, *QUICK]) == 0
    assert "2 images are there under several class names, such as plum = prune" in capsys.readouterr().out


def test_a_distance_makes_strangers_unknown(gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (40, 40), (10, 250, 250)).save(tmp_path / "stranger.png")
    asked = ["query", "--gallery", str(gallery), "--images", str(tmp_path / "stranger.png"), *QUICK]
    found = answer(asked, capsys)
    assert found["rejection"] == {"distance": None, "source": "none"}
    assert "reject_distance" in found["warnings"][0]
    again = answer([*asked[:-2], "--reject-distance", "1e-9", *QUICK], capsys)["results"][0]
    assert (again["recognised_as"], again["rejected"]) == ("unknown", True)
    assert again["matches"][0]["label"] in COLOURS


def test_a_gallery_is_not_built_over_by_mistake(
    gallery: Path, shop: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_model(tmp_path / "other.pth", 2)
    build = ["build", "--gallery", str(gallery), "--reference", str(shop / "plum" / ".."), *QUICK]
    assert "already" in answer([*build, "--checkpoint", str(model)], capsys, 2)["error"]["message"]
    add = ["add", "--gallery", str(gallery), "--reference", str(shop), "--checkpoint", str(other), *QUICK]
    assert "another model" in answer(add, capsys, 4)["error"]["message"]
    rebuilt = answer([*build, "--checkpoint", str(other), "--overwrite"], capsys)
    assert (rebuilt["model"], rebuilt["embedded"]) == (str(other), 6)


@pytest.mark.parametrize(
    "case",
    [
        (["build", "--reference", "{shop}"], 2, "--parent-job-id"),
        (["build", "--checkpoint", "{model}"], 2, "--reference"),
        (["build", "--checkpoint", "{model}", "--label", "x"], 2, "--reference"),
        (["build", "--checkpoint", "{model}", "--reference", "{shop}", "--label", "x", "--images", "y"], 2, "class"),
        (["build", "--checkpoint", "{model}", "--reference", "/nowhere"], 7, "/nowhere"),
        (["build", "--checkpoint", "/nowhere.pth", "--reference", "{shop}"], 7, "/nowhere.pth"),
        (["build", "--checkpoint", "{shop}/lemon/0.png", "--reference", "{shop}"], 5, "0.png"),
        (["build", "--parent-job-id", "none", "--reference", "{shop}"], 9, "none"),
        (["add", "--reference", "{shop}"], 4, "There is no gallery"),
        (["query", "--images", "{shop}/lemon/0.png"], 4, "There is no gallery"),
        (["query", "--images", "x", "--topk", "0"], 2, "--topk"),
        (["remove", "--label", "x"], 4, "There is no gallery"),
        (["remove"], 2, "--label"),
        (["info"], 4, "There is no gallery"),
    ],
)
def test_what_can_not_be_done_is_explained(
    case: tuple[list[str], int, str], shop: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, code, told = case
    folder = shop.parent / "g"
    words = [word.format(shop=shop, model=model) for word in arguments]
    error = answer([*words, "--gallery", str(folder)], capsys, code)["error"]
    assert told in json.dumps(error)
    assert not (folder / "gallery.json").exists()


def test_damaged_and_missing_images_are_all_told(gallery: Path, shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shop / "plum" / "bad.png").write_bytes(b"")
    (shop / "lemon" / "cut.png").write_bytes((shop / "lemon" / "0.png").read_bytes()[:60])
    error = answer(["add", "--gallery", str(gallery), "--reference", str(shop), *QUICK], capsys, 4)["error"]
    assert {Path(one["key"]).name for one in error["problems"]} >= {"bad.png", "cut.png"}
    skipping = ["--overrides", "dataset.workers=0", "dataset.on_bad_image=skip"]
    added = answer(["add", "--gallery", str(gallery), "--reference", str(shop), *skipping], capsys)
    assert added["added"] == 0
    assert "skipped" in added["warnings"][-1]
    single = ["--label", "plum", "--images", str(shop / "plum")]
    added = answer(["add", "--gallery", str(gallery), *single, *skipping], capsys)
    assert "plum/bad.png" in added["warnings"][-1]


def test_a_folder_one_level_too_high_is_pointed_out(
    shop: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(shop, tmp_path / "above" / "shop")
    build = ["build", "--gallery", str(tmp_path / "g"), "--checkpoint", str(model), *QUICK]
    built = answer([*build, "--reference", str(tmp_path / "above")], capsys)
    assert f"should the path be {tmp_path / 'above' / 'shop'}" in built["warnings"][-1]


def test_a_query_of_more_than_the_gallery_has_is_refused(
    gallery: Path, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["query", "--gallery", str(gallery), "--images", str(shop / "lemon"), "--topk", "7", *QUICK]
    assert "6" in json.dumps(answer(asked, capsys, 2)["error"])


def test_the_gallerys_own_model_is_looked_for_where_it_was(
    shop: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = shutil.copy(model, tmp_path / "moved.pth")
    build = ["build", "--gallery", str(tmp_path / "g"), "--reference", str(shop), *QUICK]
    answer([*build, "--checkpoint", str(moved)], capsys)
    Path(moved).unlink()
    asked = ["query", "--gallery", str(tmp_path / "g"), "--images", str(shop / "lemon" / "0.png"), *QUICK]
    assert "not where it was" in answer(asked, capsys, 5)["error"]["message"]
    # Another file of the same model will do.
    assert answer([*asked, "--checkpoint", str(model)], capsys)["results"][0]["recognised_as"] == "lemon"
    assert torch.load(model, weights_only=True)[HEADER]["model_name"] == "test"


def write_foreign(path: Path) -> Path:
    """Write an ONNX file that says nothing of its model: 32 x 32 pixels times a matrix."""
    onnx = pytest.importorskip("onnx")
    make = onnx.helper
    matrix = torch.randn(3 * 32 * 32, 8, generator=torch.Generator().manual_seed(0)).numpy()
    graph = make.make_graph(
        [make.make_node("Flatten", ["x"], ["flat"]), make.make_node("MatMul", ["flat", "m"], ["y"])],
        "foreign",
        [make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 3, 32, 32])],
        [make.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 8])],
        [onnx.numpy_helper.from_array(matrix, "m")],
    )
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=10), path)
    return path


def test_a_foreign_files_gallery_remembers_how_pixels_became_numbers(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    foreign = write_foreign(tmp_path / "foreign.onnx")
    where, pixels = ["--gallery", str(tmp_path / "g")], ["dataset.pixel_mean=[0,0,0]", "dataset.pixel_std=[1,1,1]"]
    named = ["--checkpoint", str(foreign), *QUICK]
    built = answer(["build", *where, "--reference", str(shop), *named, *pixels], capsys)
    asked = ["query", *where, "--images", str(shop / "lemon" / "0.png")]
    found = answer([*asked, *QUICK], capsys)["results"][0]["matches"][0]
    assert (found["label"], found["distance"]) == ("lemon", pytest.approx(0, abs=1e-5))
    assert answer([*asked, *named, *pixels], capsys)["results"][0]["matches"][0] == found
    assert answer(["add", *where, "--reference", str(shop), *QUICK], capsys)["known"] == built["added"] == 6
    # With other pixels the file makes other embeddings.
    error = answer([*asked, *named], capsys, 4)["error"]
    assert "another model" in error["message"]
    assert "dataset.pixel_mean=[0.0, 0.0, 0.0]" in error["problems"][0]["expected"]
    wrong = answer([*asked, *named, "dataset.pixel_mean=0"], capsys, 3)["error"]
    assert [one["key"] for one in wrong["problems"]] == ["dataset.pixel_mean"]


def test_a_label_is_spelled_as_a_class_folder_is_read(
    gallery: Path, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where, decomposed = ["--gallery", str(gallery)], "Ka\u0308se"
    answer(["add", *where, "--label", decomposed, "--images", str(shop / "lemon"), *QUICK], capsys)
    assert answer(["info", *where], capsys)["classes"]["K\u00e4se"] == 2
    assert len(answer(["list", *where, "--label", decomposed], capsys)["images"]) == 2
    assert answer(["remove", *where, "--label", decomposed], capsys)["removed"] == 2


def test_the_key_of_a_link_to_the_model_is_not_kept(
    tmp_path: Path, shop: Path, served: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAO_SKILL_CACHE", str(tmp_path / "cache"))
    where = ["--gallery", str(tmp_path / "linked")]
    link, asked = f"{served}?X-Amz-Signature=planted-secret", ["--images", str(shop / "lemon"), *QUICK]
    built = answer(["build", *where, "--checkpoint", link, "--reference", str(shop), *QUICK], capsys)
    assert built["model"] == f"{served}?hidden"
    assert not any(b"planted-secret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    refused = answer(["query", *where, *asked], capsys, code=5)
    assert "held a key" in refused["error"]["message"]
    found = answer(["query", *where, "--checkpoint", link, *asked], capsys)
    assert found["results"][0]["recognised_as"] == "lemon"
