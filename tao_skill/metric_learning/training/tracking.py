"""Tell TensorBoard and Weights & Biases how a training goes; whatever fails there, the training goes on."""

import logging
import os
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from pytorch_lightning.utilities import rank_zero_only

from tao_skill.config.secrets import masked
from tao_skill.config.wandb import Wandb
from tao_skill.config.yaml_text import dump_yaml

__all__ = ["Tracking"]

log = logging.getLogger(__name__)
# How long a server may keep a training waiting, before the first step and after the last.
_SECONDS_FOR_THE_SERVER = 20
# Says which run a training that is resumed has to go on with.
_RUN_FILE = "wandb_run.txt"


class _Tracker(Protocol):
    def scalars(self, values: Mapping[str, float], epoch: int, step: int) -> None: ...

    def close(self, failed: bool) -> None: ...


class Tracking:
    """Send each epoch's numbers to every tracker that is installed and asked for.

    TensorBoard's events go to ``folder``. A tracker that fails is named once and left alone from then on.
    """

    def __init__(self, spec: Any, folder: Path) -> None:
        self._trackers: dict[str, _Tracker] = {}
        if getattr(rank_zero_only, "rank", 0) != 0:  # one process of a training speaks for all
            return
        settings = spec.wandb
        config = masked(asdict(spec)) if is_dataclass(spec) and not isinstance(spec, type) else {}
        # What is to be synchronised has to be told before TensorBoard opens its file.
        if settings.enable:
            self._open("Weights & Biases", lambda: _open_wandb(settings, folder, config))
        self._open("TensorBoard", lambda: _TensorBoard(folder, config))

    def scalars(self, values: Mapping[str, float], epoch: int, step: int) -> None:
        """Note the numbers of an epoch, counted from 0, after so many steps in all."""
        for name, tracker in list(self._trackers.items()):
            try:
                tracker.scalars(values, epoch, step)
            except Exception as error:  # nothing that a tracker does is worth a training
                self._give_up(name, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, tracker in self._trackers.items():
            try:
                tracker.close(failed=error is not None)
            except Exception as trouble:  # as above
                log.warning("%s could not end its record: %s", name, _first_line(trouble))
        self._trackers = {}

    def _open(self, name: str, opener: Callable[[], "_Tracker | None"]) -> None:
        try:
            tracker = opener()
        except ImportError as error:
            log.debug("%s is not installed: %s", name, error)
        except Exception as error:  # as above
            self._give_up(name, error)
        else:
            if tracker is not None:
                self._trackers[name] = tracker

    def _give_up(self, name: str, error: Exception) -> None:
        self._trackers.pop(name, None)
        log.warning("%s is not told any more: %s", name, _first_line(error))


class _TensorBoard:
    """Write events; tags have underscores in place of blanks, which TensorBoard does not allow."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder))
        self._writer.add_text("spec", f"```yaml\n{dump_yaml(dict(config))}```")

    def scalars(self, values: Mapping[str, float], epoch: int, step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name.replace(" ", "_"), value, step)
        self._writer.add_scalar("epoch", epoch, step)
        self._writer.flush()

    def close(self, failed: bool) -> None:
        del failed
        self._writer.close()


class _WeightsAndBiases:
    """Log to a run that is open."""

    def __init__(self, run: Any, through_tensorboard: bool) -> None:
        self._run = run
        self._through_tensorboard = through_tensorboard

    def scalars(self, values: Mapping[str, float], epoch: int, step: int) -> None:
        if not self._through_tensorboard:
            self._run.log({**values, "epoch": epoch, "step": step})

    def close(self, failed: bool) -> None:
        self._run.finish(exit_code=1 if failed else 0)


def _open_wandb(settings: Wandb, folder: Path, config: Mapping[str, Any]) -> _WeightsAndBiases | None:
    """Open a run: as WANDB_MODE says, else on the server where there is a key for it, else offline."""
    import wandb

    quiet = _quiet(wandb, settings.save_code)
    wandb.setup(quiet)  # in a terminal it would ask for a key, and wait, before it looks at a run's own settings
    run_file = folder / _RUN_FILE
    run_id = settings.run_id or (run_file.read_text(encoding="utf-8").strip() if run_file.is_file() else None)

    def run(mode: Literal["offline"] | None) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return wandb.init(
                project=settings.project,
                entity=settings.entity or None,
                group=settings.group or None,
                tags=settings.tags,
                name=settings.name,
                id=run_id,
                resume="allow" if run_id else None,
                reinit="create_new" if settings.reinit else "default",
                sync_tensorboard=settings.sync_tensorboard,
                save_code=settings.save_code,
                dir=folder,
                config=dict(config),
                mode=mode,
                settings=quiet,
            )

    try:
        opened = run(None)
    except wandb.Error as error:
        log.info("Weights & Biases keeps this run offline, in %s: %s", folder / "wandb", _first_line(error))
        opened = run("offline")
    if opened.disabled:  # by WANDB_MODE
        return None
    with suppress(OSError):
        run_file.write_text(f"{opened.id}\n", encoding="utf-8")
    return _WeightsAndBiases(opened, settings.sync_tensorboard)


def _quiet(wandb: Any, save_code: bool) -> Any:
    """Return settings under which nothing is sent or said that nobody asked for.

    The command line, the names of installed packages and the address of a git remote may hold secrets.
    """
    return wandb.Settings(
        console="off",
        silent=True,
        disable_git=True,
        disable_code=not save_code,
        x_disable_meta=not save_code,
        x_save_requirements=False,
        init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT", _SECONDS_FOR_THE_SERVER)),
        finish_timeout=_SECONDS_FOR_THE_SERVER,
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
