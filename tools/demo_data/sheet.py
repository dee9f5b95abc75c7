"""Pictures for people: what the data looks like, and what was recognised."""

import io
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

__all__ = ["first_of_each_class", "write_sheet"]

_TILE = 128
_FRAME = 4

Tile = tuple[Image.Image, str]  # a picture and the colour of its frame


def first_of_each_class(archive: Path) -> dict[str, Image.Image]:
    """Return the first picture of each class folder in an archive."""
    found: dict[str, Image.Image] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            label = Path(member.name).parent.name
            file = tar.extractfile(member) if label not in found else None
            if file is not None:
                found[label] = Image.open(io.BytesIO(file.read())).convert("RGB")
    return found


def pictures(archive: Path, names: Iterable[str]) -> dict[str, Image.Image]:
    """Return pictures of an archive by their `class/file` names."""
    wanted, found = set(names), {}
    with tarfile.open(archive) as tar:
        for member in tar:
            name = "/".join(Path(member.name).parts[-2:])
            file = tar.extractfile(member) if name in wanted else None
            if file is not None:
                found[name] = Image.open(io.BytesIO(file.read())).convert("RGB")
    return found


def write_sheet(path: Path, rows: Iterable[Sequence[Tile]]) -> None:
    """Write rows of pictures, each in a frame, as one PNG."""
    lines = list(rows)
    side = _TILE + 2 * _FRAME
    sheet = Image.new("RGB", (side * max(map(len, lines)), side * len(lines)), "white")
    draw = ImageDraw.Draw(sheet)
    for down, line in enumerate(lines):
        for across, (picture, frame) in enumerate(line):
            left, top = across * side, down * side
            draw.rectangle((left, top, left + side - 1, top + side - 1), fill=frame)
            sheet.paste(picture.convert("RGB").resize((_TILE, _TILE)), (left + _FRAME, top + _FRAME))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
