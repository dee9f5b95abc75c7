"""The demo's data: what it promises to whoever trains on it."""

import io
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tao_skill.bank.skill import find_skill
from tao_skill.storage.stage import stage
from tools.demo_data.digits import NAMES, DigitsSize, digit_pictures
from tools.demo_data.layout import DATA_SET, Picture, write_archives
from tools.demo_data.products import COLOURS, make_families
from tools.demo_data.retail import RetailSize, retail_pictures
from tools.demo_data.scene import SIZE, Studio
from tools.demo_data.shapes import SHAPES
from tools.demo_data.tasks import SEED

SMALL = RetailSize(
    known_families=2, unknown_families=1, reference=1, train=3, train_catalogue=1, val=1, test=1, unknown_test=2
)
FEW_DIGITS = DigitsSize(reference=1, train=3, val=1, test=2, unknown_test=4)


@pytest.fixture(scope="module")
def retail() -> list[Picture]:
    return list(retail_pictures(SMALL, SEED))


def classes(pictures: list[Picture], part: str) -> set[str]:
    return {picture.label for picture in pictures if picture.archive == part}


def test_the_same_seed_gives_the_same_pictures(retail: list[Picture]) -> None:
    assert list(retail_pictures(SMALL, SEED)) == retail
    assert [picture.content for picture in retail_pictures(SMALL, SEED + 1)] != [one.content for one in retail]


def test_unknown_products_are_never_in_training(retail: list[Picture]) -> None:
    known, unknown = classes(retail, "known_classes/train"), classes(retail, "unknown_classes/test")
    assert (len(known), len(unknown)) == (6, 3)
    assert not known & unknown
    for part in ("reference", "val", "test"):
        assert classes(retail, f"known_classes/{part}") == known
    assert classes(retail, "unknown_classes/reference") == unknown


def test_each_product_has_as_many_pictures_as_asked(retail: list[Picture]) -> None:
    counts = Counter(picture.archive for picture in retail)
    assert counts == {
        "known_classes/reference": 6,
        "known_classes/train": 18,
        "known_classes/val": 6,
        "known_classes/test": 6,
        "unknown_classes/reference": 3,
        "unknown_classes/test": 6,
    }
    assert len({picture.content for picture in retail}) == len(retail)


def test_pictures_are_small_colour_jpegs(retail: list[Picture]) -> None:
    for picture in retail:
        image = Image.open(io.BytesIO(picture.content))
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (SIZE, SIZE))


def test_catalogue_pictures_are_on_white_and_store_pictures_are_not(retail: list[Picture]) -> None:
    for picture in retail:
        corner = np.asarray(Image.open(io.BytesIO(picture.content)))[:8, :8]
        if picture.archive.endswith("reference"):
            assert corner.min() > 240, picture.label
    tops = [
        np.asarray(Image.open(io.BytesIO(one.content)))[:8].mean() for one in retail if one.archive.endswith("test")
    ]
    assert np.mean(tops) < 235


def test_products_of_a_family_differ_and_no_two_products_are_alike() -> None:
    families = make_families(30, SEED)
    products = [product for family in families for product in family]
    assert len({product.name for product in products}) == len(products) == 90
    assert {product.shape for product in products} == set(SHAPES)
    for family in families:
        looks = [{one.name: getattr(product, one.name) for one in fields(product)} for product in family]
        differing = {key for key in looks[0] if len({look[key] for look in looks}) > 1} - {"variant"}
        # The ink follows the label's colour, so that it can be read.
        assert len(differing - {"ink"}) == 1, looks
        assert all(len({look[key] for look in looks}) == 3 for key in differing - {"ink"})
    assert all(product.label in COLOURS and product.ink != product.label for product in products)


def test_longer_lists_begin_with_the_same_families() -> None:
    assert make_families(30, SEED)[:20] == make_families(20, SEED)


def test_a_catalogue_picture_tells_all_products_of_a_family_apart() -> None:
    studio = Studio(SEED)
    for family in make_families(30, SEED):
        pictures = [np.asarray(studio.catalogue(product, np.random.default_rng(0)), np.int16) for product in family]
        for one, other in ((0, 1), (0, 2), (1, 2)):
            changed = np.abs(pictures[one] - pictures[other]).max(axis=2) > 40
            assert changed.sum() > 0.003 * SIZE * SIZE, (family[one].name, family[other].name)


def test_digits_are_real_scans_and_none_is_in_two_archives() -> None:
    pictures = list(digit_pictures(DigitsSize()))
    assert len({picture.file for picture in pictures}) == len(pictures)
    assert classes(pictures, "known_classes/train") == set(NAMES[:7])
    assert classes(pictures, "unknown_classes/test") == {"seven", "eight", "nine"}
    paper = np.asarray(Image.open(io.BytesIO(pictures[0].content)))
    assert paper.shape == (64, 64)
    assert paper.max() > 240
    assert paper.min() < 60


def test_archives_lie_where_the_table_of_data_sources_says(tmp_path: Path) -> None:  # R26
    write_archives(tmp_path, digit_pictures(FEW_DIGITS))
    for row in find_skill(None).data_sources:
        files = row.files.values() if isinstance(row.files, dict) else [row.files]
        for file in files:
            assert not file or (tmp_path / file).is_file(), row


def test_an_archive_becomes_class_folders_of_images(tmp_path: Path) -> None:
    write_archives(tmp_path, digit_pictures(FEW_DIGITS))
    folder = stage(tmp_path / DATA_SET / "known_classes" / "train.tar.gz", tmp_path / "cache")
    assert sorted(each.name for each in folder.iterdir()) == sorted(NAMES[:7])
    assert all(len(list(each.glob("*.png"))) == 3 for each in folder.iterdir())


def test_archives_are_the_same_bytes_and_are_not_written_twice(tmp_path: Path) -> None:
    def pictures() -> Iterator[Picture]:
        yield Picture("known_classes/train", "b", "2.jpg", b"two")
        yield Picture("known_classes/train", "a", "1.jpg", b"one")

    assert write_archives(tmp_path, pictures()) == {"known_classes/train": 2}
    path = tmp_path / DATA_SET / "known_classes" / "train.tar.gz"
    facts = path.stat()
    write_archives(tmp_path, reversed(list(pictures())))
    assert path.stat().st_mtime_ns == facts.st_mtime_ns
    with tarfile.open(path) as tar:
        assert [(member.name, member.mtime) for member in tar] == [("train/a/1.jpg", 0), ("train/b/2.jpg", 0)]
    write_archives(tmp_path, [Picture("known_classes/train", "a", "1.jpg", b"other")])
    assert path.stat().st_size != facts.st_size or path.stat().st_mtime_ns != facts.st_mtime_ns
