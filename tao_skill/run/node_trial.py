"""One trial on a node of a cluster: bring its inputs to this node, then run the skill's program.

Called by a worker as ``SPEC SKILL``, in its own process, so that imports are paid once.
"""

from __future__ import annotations

import json
import os
import platform
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from tao_skill.automl.child import run_command
from tao_skill.bank.skill import find_skill
from tao_skill.config.keys import flatten
from tao_skill.config.yaml_text import dump_yaml, load_yaml
from tao_skill.errors import TaoSkillError
from tao_skill.run.program import program_of
from tao_skill.run.record import ERROR_FILE
from tao_skill.run.stage import find_inputs, stage_inputs
from tao_skill.run.trial_spec import ACTION

__all__ = ["run_here"]


def run_here(spec_file: Path, skill: str) -> None:
    """Run a trial whose spec may name inputs of elsewhere.

    Raises:
        TaoSkillError: its inputs or its skill can't be had here; written into the trial's folder as well.
        SystemExit: how a program ended that is a command.
    """
    try:
        found = find_skill(skill)
        spec = _read(spec_file)
        program = program_of(found, ACTION).for_worker(flatten(spec))
        local = _staged(spec_file, spec, list(found.info.actions[ACTION].inputs))
    except TaoSkillError as error:
        (spec_file.parent / ERROR_FILE).write_text(json.dumps(error.document(), default=str), encoding="utf-8")
        raise
    if program.script:
        sys.argv, sys.path[:0] = [program.script, *program.filled(local)], [str(Path(program.script).parent)]
        runpy.run_path(program.script, run_name="__main__")
        return
    _end_like(run_command(program.command(local)))


def _read(spec_file: Path) -> dict[str, Any]:
    text = spec_file.read_text(encoding="utf-8")
    return dict(json.loads(text) if spec_file.suffix == ".json" else load_yaml(text))


def _staged(spec_file: Path, spec: Mapping[str, Any], input_keys: list[str]) -> Path:
    """Return the spec with paths of this node; the file itself where it holds nothing else."""
    staged = stage_inputs(spec, find_inputs(spec, input_keys))
    if staged == spec:
        return spec_file
    local = spec_file.with_stem(f"{spec_file.stem}.{platform.node()}")
    local.write_text(json.dumps(staged) if spec_file.suffix == ".json" else dump_yaml(staged), encoding="utf-8")
    return local


def _end_like(code: int) -> NoReturn:
    """End as a program did: a signal that ended it is no exit code."""
    if code < 0:
        os.kill(os.getpid(), -code)
        code = 128 - code  # what this process takes no notice of
    raise SystemExit(code)


if __name__ == "__main__":
    run_here(Path(sys.argv[1]), sys.argv[2])
