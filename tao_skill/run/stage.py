"""Turn the inputs of a spec into local paths."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tao_skill.config.keys import flatten, get_leaf, set_leaf
from tao_skill.config.placeholder import is_given
from tao_skill.errors import Problem, StorageError, TaoSkillError
from tao_skill.storage.locate import is_remote, local_path, redact

__all__ = ["absolute_inputs", "find_inputs", "stage_all", "stage_inputs"]


def find_inputs(spec: Mapping[str, Any], input_keys: Iterable[str]) -> dict[str, list[str]]:
    """Return the paths and URIs of a spec that the action reads, by dotted key; a key may be a whole section."""
    keys = list(input_keys)
    found: dict[str, list[str]] = {}
    for leaf, value in flatten(spec).items():
        if not is_given(value) or not any(leaf == key or leaf.startswith(f"{key}.") for key in keys):
            continue
        entries = value if isinstance(value, list) else [value]
        found[leaf] = [str(entry) for entry in entries if is_given(entry)]
    return found


def absolute_inputs(spec: Mapping[str, Any], inputs: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return a copy of the spec whose local inputs are absolute, so that a job can go on from any folder."""
    return _replaced(spec, {key: [_absolute(uri) for uri in uris] for key, uris in inputs.items()})


def stage_inputs(
    spec: Mapping[str, Any], inputs: Mapping[str, list[str]], cache_dir: Path | None = None
) -> dict[str, Any]:
    """Return a copy of the spec whose inputs are local, absolute paths.

    Folders and files stay where they are; archives are extracted into the cache.

    Raises:
        StorageError: inputs that can't be brought here, all of them, each with its key.
        TaoSkillError: as the storage says, where it is only one.
    """
    from tao_skill.storage.stage import stage

    staged: dict[str, list[str]] = {}
    failures: list[tuple[str, str, TaoSkillError]] = []
    for key, uris in inputs.items():
        staged[key] = []
        for uri in uris:
            try:
                staged[key].append(str(stage(uri, cache_dir)))
            except TaoSkillError as error:
                failures.append((key, uri, error))
    if failures:
        raise _failure(failures)
    return _named_as_given(_replaced(spec, staged), inputs)


def stage_all(uris: Sequence[str], keys: Sequence[str] = (), cache_dir: Path | None = None) -> list[str]:
    """Return the local paths of ``uris``; raises as ``stage_inputs`` does, after all were looked at.

    ``keys`` says what the first of them are for; the others are known by their numbers.
    """
    from tao_skill.run.check_places import check_places
    from tao_skill.storage.stage import stage

    names = [*keys, *(f"URI {number}" for number in range(len(keys) + 1, len(uris) + 1))]
    check_places({name: [uri] for name, uri in zip(names, uris, strict=True)}, None)
    return [str(stage(uri, cache_dir)) for uri in uris]


def _replaced(spec: Mapping[str, Any], paths: Mapping[str, list[str]]) -> dict[str, Any]:
    copied = copy.deepcopy(dict(spec))
    for key, found in paths.items():
        set_leaf(copied, key, found if isinstance(get_leaf(spec, key), list) else found[0])
    return copied


def _named_as_given(staged: dict[str, Any], inputs: Mapping[str, list[str]]) -> dict[str, Any]:
    """Let results speak of paths inside an archive or below a URI, where the files themselves are in the cache."""
    key, switch = "inference.input_path", "inference.relative_paths"
    # A spec without the switch is another skill's.
    if key in inputs and inputs[key] != [get_leaf(staged, key)] and get_leaf(staged, switch) is not None:
        set_leaf(staged, switch, True)
    return staged


def _absolute(uri: str) -> str:
    return uri if is_remote(uri) else str(local_path(uri))


def _failure(failures: list[tuple[str, str, TaoSkillError]]) -> TaoSkillError:
    kinds = {type(error) for _, _, error in failures}
    kind = kinds.pop() if len(kinds) == 1 else StorageError
    first = failures[0][2]
    problems = [
        Problem(key, redact(uri), f"{error.message} Expected: {'; '.join(one.expected for one in error.problems)}")
        for key, uri, error in failures
    ]
    count = "An input" if len(failures) == 1 else f"{len(failures)} inputs"
    return kind(f"{count} of this run can't be brought here.", problems=problems, next_step=first.next_step)
