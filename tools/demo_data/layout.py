"""The archives that a data root holds, at the places that the skill's table of data sources names."""

import gzip
import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

__all__ = ["DATA_SET", "ImageCounts", "Picture", "write_archives"]

DATA_SET = Path("metric_learning_recognition/retail-product-checkout-dataset_classification_demo")


class Picture(NamedTuple):
    """One encoded image: which archive it goes to, such as ``known_classes/train``, and its class."""

    archive: str
    label: str
    file: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class ImageCounts:
    """How many images of each class go into each archive."""

    reference: int
    train: int
    val: int
    test: int
    unknown_test: int

    def parts(self, known: bool) -> dict[str, int]:
        """Return the number of images of a known or an unknown class in each archive."""
        if not known:
            return {"unknown_classes/reference": self.reference, "unknown_classes/test": self.unknown_test}
        return {
            "known_classes/reference": self.reference,
            "known_classes/train": self.train,
            "known_classes/val": self.val,
            "known_classes/test": self.test,
        }


def write_archives(root: Path, pictures: Iterable[Picture]) -> dict[str, int]:
    """Write one .tar.gz for each archive below a data root; return how many images each holds.

    The same pictures give the same bytes, and an archive that is there already is left alone: whatever was extracted
    from it stays valid.
    """
    members: dict[str, dict[str, bytes]] = {}
    for picture in pictures:
        folder = Path(picture.archive).name
        members.setdefault(picture.archive, {})[f"{folder}/{picture.label}/{picture.file}"] = picture.content
    for archive, files in members.items():
        path = root / DATA_SET / f"{archive}.tar.gz"
        content = _tar_gz(files)
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return {archive: len(files) for archive, files in members.items()}


def _tar_gz(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    # Times and owners stay at zero, so that the bytes depend on the files alone.
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w") as tar,
    ):
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            tar.addfile(member, io.BytesIO(files[name]))
    return packed.getvalue()
