"""Show queries beside their nearest references in one HTML file that needs no network: wrong ones first."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from PIL import Image

from tao_skill.errors import DataError, StorageError
from tao_skill.metric_learning.data.decode import decode_image
from tao_skill.metric_learning.data.fingerprints import sha256_of
from tao_skill.metric_learning.files import replacing
from tao_skill.metric_learning.retrieval.open_set import UNKNOWN, Threshold

__all__ = ["FILE_NAME", "MATCHES", "Shown", "shown", "write_match_page"]

FILE_NAME = "matches.html"
MATCHES = 5
"""Nearest references shown beside each query."""

_PIXELS = 96
_ORDER = {"wrong": 0, "unknown": 1, "new": 2, "right": 3}
_MEANING = {
    "wrong": "the nearest reference is of another class, or what isn't in the reference was recognised",
    "unknown": "rejected: nothing is near enough",
    "new": "recognised; which class is right isn't known",
    "right": "the nearest reference is of the right class, or what isn't in the reference was rejected",
}


@dataclass(frozen=True)
class Shown:
    """One query: its file, its class (None: not known), its nearest references as (class, squared distance, file)."""

    path: Path
    truth: str | None
    matches: Sequence[tuple[str, float, Path]]
    state: Literal["wrong", "unknown", "new", "right"]


def shown(
    path: Path,
    truth: str | None,
    matches: Sequence[tuple[str, float, Path]],
    threshold: Threshold,
    *,
    is_known: bool = True,
) -> Shown:
    """Return a query with what became of it; ``is_known`` tells whether its class is in the reference."""
    label, distance, _ = matches[0]
    accepted = threshold.accepts(distance)
    if truth is not None and not is_known:
        return Shown(path, truth, matches, "wrong" if accepted else "right")
    if truth is not None and label != truth:
        return Shown(path, truth, matches, "wrong")
    if not accepted:
        return Shown(path, truth, matches, "unknown")
    return Shown(path, truth, matches, "new" if truth is None else "right")


def write_match_page(
    path: Path, queries: Sequence[Shown], limit: int, title: str, digests: Mapping[Path, str] | None = None
) -> None:
    """Write a page of at most ``limit`` queries: wrong ones first, the surest of them first; then the least sure.

    ``digests`` are the SHA-256 of references that a gallery names. Anybody may have written a gallery, so a file that
    it names is shown only if it still holds what was embedded.

    Raises:
        StorageError: the file can't be written.
    """
    ordered = sorted(queries, key=lambda one: (_ORDER[one.state], _sureness(one)))
    counts = {state: sum(one.state == state for one in queries) for state in _ORDER}
    summary = ", ".join(f"{count} {state} ({_MEANING[state]})" for state, count in counts.items() if count)
    thumbnail, known = cache(_thumbnail), digests or {}
    reference = cache(lambda file: thumbnail(file) if _is_as_known(file, known.get(file)) else "")
    rows = "\n".join(_row(one, thumbnail, reference) for one in ordered[:limit])
    text = _PAGE.format(title=html.escape(title), summary=summary, number=min(limit, len(ordered)), rows=rows)
    try:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise StorageError(
            f"{path} can't be written: {error.strerror or error}",
            next_step="free some disk space, or choose another folder with --results-root",
        ) from error


def _sureness(one: Shown) -> float:
    """Return what sorts a query within its kind: near mistakes are the worst, far hits the least sure."""
    distance = one.matches[0][1]
    return distance if one.state == "wrong" else -distance


def _row(one: Shown, thumbnail: Callable[[Path], str], reference: Callable[[Path], str]) -> str:
    truth = one.truth if one.truth is not None else ""
    verdict = UNKNOWN if one.state == "unknown" else one.state
    cells = [_cell(thumbnail(one.path), truth, verdict, one.path, f"query {one.state}")]
    for label, distance, path in one.matches:
        same = "" if one.truth is None else " same" if label == one.truth else " other"
        cells.append(_cell(reference(path), label, f"{distance:.3f}", path, f"match{same}"))
    return f'<div class="row">{"".join(cells)}</div>'


def _cell(picture: str, label: str, note: str, path: Path, kind: str) -> str:
    file = html.escape(str(path))
    shown_image = f'<img src="{picture}" alt="{file}">' if picture else '<span class="gone">no image</span>'
    words = f"<b>{html.escape(label)}</b><br>{html.escape(note)}<br><small>{html.escape(path.name)}</small>"
    return f'<figure class="{kind}" title="{file}">{shown_image}<figcaption>{words}</figcaption></figure>'


def _is_as_known(path: Path, digest: str | None) -> bool:
    try:
        return digest is None or (path.is_file() and sha256_of(path) == digest)
    except OSError:
        return False


def _thumbnail(path: Path) -> str:
    """Return a small picture as a data URI, empty where the file is gone."""
    try:
        image = Image.fromarray(decode_image(path))
    except DataError:
        return ""
    image.thumbnail((_PIXELS, _PIXELS))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 14px system-ui, sans-serif; margin: 1.5em; color: #222; background: #fff; }}
.row {{ display: flex; gap: 8px; border-top: 1px solid #ddd; padding: 8px 0; }}
figure {{ margin: 0; width: 112px; text-align: center; overflow-wrap: anywhere; font-size: 12px; }}
figure img, .gone {{ display: inline-block; min-width: 48px; min-height: 48px; border: 4px solid #ccc; }}
.query {{ margin-right: 24px; }}
.wrong img, .other img {{ border-color: #c33; }} .right img, .same img {{ border-color: #393; }}
.unknown img {{ border-color: #d90; }} .gone {{ color: #888; padding: 16px 4px; }}
</style></head><body><h1>{title}</h1>
<p>{summary}. Shown: {number}, the query first, then its nearest references with squared distances; point at a picture
for the whole path of its file.</p>
{rows}
</body></html>
"""
