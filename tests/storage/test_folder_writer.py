"""What is written is listed as it is."""

import io
import tarfile
from pathlib import Path

from tao_skill.storage.cache_care import verify
from tao_skill.storage.stage import stage


def test_a_file_that_comes_twice_is_listed_once_as_it_is(tmp_path: Path) -> None:
    # `tar -r` appends a newer file behind the older one.
    archive = tmp_path / "train.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in [("a/1.jpg", b"old"), ("b/2.jpg", b"x"), ("a/1.jpg", b"older"), ("a/1.jpg", b"new one")]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    folder = stage(str(archive), tmp_path / "cache")
    assert (folder / "a" / "1.jpg").read_bytes() == b"new one"
    (finding,) = verify(tmp_path / "cache")
    assert finding.problems == []
    assert (finding.entry.marker.files, finding.entry.marker.bytes) == (2, 8)
