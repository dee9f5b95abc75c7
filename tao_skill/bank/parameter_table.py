"""Parameter tables in Markdown, made from the dataclasses, and the place between two markers where they go."""

import json
import re
from collections.abc import Sequence

from tao_skill.config.leaves import Leaf, leaves
from tao_skill.errors import InternalError, Problem, SkillError

# What SKILL.md shows of the train spec; the rest is in the bank's reference pages.
IMPORTANT_TRAIN_PARAMETERS = (
    "model.backbone",
    "model.timm_name",
    "model.pretrained_model_path",
    "model.feat_dim",
    "model.input_width",
    "model.input_height",
    "train.batch_size",
    "train.val_batch_size",
    "dataset.num_instance",
    "train.loss.name",
    "train.optim.trunk.base_lr",
    "train.optim.embedder.base_lr",
    "train.optim.triplet_loss_margin",
    "train.smooth_loss",
    "train.optim.miner_function_margin",
    "train.optim.steps",
    "train.optim.gamma",
    "dataset.train_dataset",
    "dataset.val_dataset.reference",
    "dataset.val_dataset.query",
)
END_MARKER = "<!-- end generated -->"


def render_parameter_table(action: str, keys: Sequence[str] | None = None) -> str:
    """Return a Markdown table of the action's parameters: all of them, or ``keys`` in that order.

    Raises:
        InternalError: the action has no such key.
    """
    known = {leaf.key: leaf for leaf in leaves(action)}
    wanted = list(known) if keys is None else list(keys)
    missing = [key for key in wanted if key not in known]
    if missing:
        raise InternalError(f"A table of {action} asks for unknown parameters: {', '.join(missing)}.")
    lines = ["| Parameter | Default | Allowed | Meaning |", "|---|---|---|---|"]
    lines += [_row(known[key]) for key in wanted]
    return "\n".join(lines)


def replace_between_markers(text: str, name: str, body: str) -> str:
    """Return ``text`` with ``body`` between ``<!-- generated: name -->`` and ``<!-- end generated -->``.

    Raises:
        SkillError: the pair of markers is not there exactly once.
    """
    start = f"<!-- generated: {name} -->"
    pattern = re.compile(re.escape(start) + r"\n.*?" + re.escape(END_MARKER), re.DOTALL)
    found = pattern.findall(text)
    if len(found) != 1 or text.count(start) != 1 or "<!-- generated:" in found[0][len(start) :]:
        raise SkillError(
            f"The place of the generated table {name!r} is not marked.",
            problems=[Problem(start, len(found), f"exactly one, closed by {END_MARKER}")],
            next_step="put both lines where the table goes, then: make schemas",
        )
    replacement = f"{start}\n{body.strip()}\n{END_MARKER}"
    return pattern.sub(lambda _: replacement, text)


def _row(leaf: Leaf) -> str:
    default = json.dumps(leaf.default) if leaf.default not in ("", None) else ""
    shown = f"`{default.strip(chr(34))}`" if default else "not set"
    allowed = leaf.bounds or leaf.kind
    cells = (f"`{leaf.key}`", shown, allowed, leaf.description)
    return "| " + " | ".join(cell.replace("|", r"\|").replace("\n", " ") for cell in cells) + " |"
