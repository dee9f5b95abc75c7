"""A TensorRT engine's file, and what is written beside it: an engine itself says nothing of its model."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tao_skill.errors import CheckpointError, Problem
from tao_skill.metric_learning.engines.facts import ModelFacts, facts_from_document
from tao_skill.metric_learning.engines.tensorrt_calls import Gpu, LibraryName
from tao_skill.metric_learning.files import replacing
from tao_skill.metric_learning.retrieval.report import write_results_json

__all__ = ["EngineFile", "facts_path", "read_engine", "write_engine"]


@dataclass(frozen=True)
class EngineFile:
    """An engine takes batches from ``smallest`` to ``largest``; ``version`` is that of the library that built it.

    ``gpu`` is the one that it was built on; None where that makes no difference, or isn't known.
    """

    path: Path
    facts: ModelFacts
    library: LibraryName
    version: str
    smallest: int
    largest: int
    digest: str = ""
    gpu: Gpu | None = None

    def differences(self, version: str, gpu: Gpu | None) -> list[str]:
        """Return in what another library version or another GPU than the engine was built with is to run it."""
        found = []
        if version != self.version:
            found.append(f"by {self.library} {self.version}, and this is {version}")
        if self.gpu is not None and gpu is not None and gpu != self.gpu:
            found.append(f"on {self.gpu}, and this is {gpu}")
        return [f"{self.path} was built {one}: build it again where it runs." for one in found]

    def plan(self, key: str) -> bytes:
        """Return the engine's bytes.

        Raises:
            CheckpointError: they are not those that the facts belong to.
        """
        plan = self.path.read_bytes()
        if hashlib.sha256(plan).hexdigest() != self.digest:
            problem = Problem(key, str(self.path), f"the engine that {facts_path(self.path).name} was written with")
            raise CheckpointError(
                f"{self.path} and {facts_path(self.path).name} don't belong together.", problems=[problem]
            )
        return plan


def facts_path(engine: Path) -> Path:
    """Return where an engine's facts are: in a file of its name with .json at the end."""
    return engine.with_name(f"{engine.name}.json")


def write_engine(file: EngineFile, plan: bytes, more: dict[str, Any]) -> None:
    """Write an engine and its facts; ``more`` is told beside them, for people."""
    with replacing(file.path) as temporary:
        temporary.write_bytes(plan)
    document = {
        **file.facts.document(),
        "library": file.library,
        "version": file.version,
        "smallest_batch": file.smallest,
        "largest_batch": file.largest,
        "sha256": hashlib.sha256(plan).hexdigest(),
        "gpu": asdict(file.gpu) if file.gpu is not None else None,
        **more,
    }
    write_results_json(facts_path(file.path), document)


def read_engine(path: str | Path, key: str) -> EngineFile:
    """Read what is known of an engine.

    Raises:
        CheckpointError: the engine or its facts aren't there, or the facts are damaged.
    """
    engine = Path(path)
    facts_file = facts_path(engine)
    absent = [str(file) for file in (engine, facts_file) if not file.is_file()]
    if absent:
        expected = (
            f"an engine that gen_trt_engine wrote, with {facts_file.name} beside it: it says what the model takes"
        )
        raise CheckpointError(
            f"{' and '.join(absent)} can't be read: there is no such file.",
            problems=[Problem(key, str(path), expected)],
        )
    try:
        document = json.loads(facts_file.read_text(encoding="utf-8"))
        facts = facts_from_document(document, facts_file, key)
        return EngineFile(
            path=engine,
            facts=facts,
            library=document["library"],
            version=document["version"],
            smallest=int(document["smallest_batch"]),
            largest=int(document["largest_batch"]),
            digest=document["sha256"],
            gpu=Gpu(**document["gpu"]) if document.get("gpu") else None,
        )
    except CheckpointError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        problem = Problem(key, str(facts_file), "the file that gen_trt_engine wrote")
        raise CheckpointError(f"{facts_file} is damaged: {error!r}", problems=[problem]) from error
