"""The train action."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from tao_skill.config.actions import TrainSpec
from tao_skill.errors import Problem, SpecError
from tao_skill.metric_learning.all_problems import all_problems
from tao_skill.metric_learning.data.check import CheckedSets
from tao_skill.metric_learning.data.for_spec import training_sets
from tao_skill.metric_learning.data.image_set import ImageSet
from tao_skill.metric_learning.data.transforms import EvalTransform
from tao_skill.metric_learning.device import Precision, choose_precision
from tao_skill.metric_learning.freed_memory import keep_freed_memory
from tao_skill.metric_learning.model.checkpoint import Checkpoint
from tao_skill.metric_learning.model.recogniser import ModelSettings
from tao_skill.metric_learning.progress import Progress
from tao_skill.metric_learning.quick_layers import make_quick
from tao_skill.metric_learning.status import StatusLog
from tao_skill.metric_learning.training.callbacks import EpochReport, EpochSampler, ProgressBar, StepTimer
from tao_skill.metric_learning.training.checkpointing import START_EPOCH, Checkpointing, new_record
from tao_skill.metric_learning.training.criterion import Criterion, build_criterion
from tao_skill.metric_learning.training.data import TrainingData, all_pixels, unseen_warning
from tao_skill.metric_learning.training.module import TrainingModule
from tao_skill.metric_learning.training.processes import Processes, find_processes, fit_together
from tao_skill.metric_learning.training.record import CheckpointRecord
from tao_skill.metric_learning.training.refit import Refit
from tao_skill.metric_learning.training.start import Warmup, load_start
from tao_skill.metric_learning.training.tracking import Tracking

__all__ = ["train"]

log = logging.getLogger(__name__)
_NOT_BEATEN = "No epoch beat the model that training started from, which is kept as the best: "
# Its notes on devices and products belong to nobody who reads this program's output.
logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)


def train(spec: TrainSpec, folder: Path, status: StatusLog) -> dict[str, Any]:
    """Train a recogniser, write its checkpoints into a folder, and return metrics and the best checkpoint.

    Raises:
        DataError, SpecError, CheckpointError, NotAvailableError: before the first step, with all problems.
    """
    processes = find_processes(spec.train)
    with all_problems("train", spec):
        start = load_start(spec)
        precision = choose_precision(spec.train.precision, processes.device, start.recogniser)
    sets = _load_sets(spec, processes)
    if processes.device.accelerator == "cpu":
        make_quick(start.recogniser)
        keep_freed_memory()
    criterion = _criterion(spec, sets.train, start.seed, processes)
    module = TrainingModule(
        start.recogniser, criterion, spec, start.seed, processes=processes.count, num_images=len(sets.train)
    )
    record = new_record(folder, spec.train, ModelSettings.of(spec.model), _transform_document(spec))
    if start.checkpoint is not None:
        module.resume(start.checkpoint, sets.train.classes)
        record.take_over()
    data = TrainingData(spec, sets, module, processes)
    module.steps_per_epoch = len(data.sampler)
    lost, unseen = "", unseen_warning(sets.train, data.sampler, spec.train.num_epochs)
    if unseen:
        log.warning("%s", unseen)
    if module.start_epoch == spec.train.num_epochs and (record.best or record.latest):
        # Killed after its last checkpoint: only the results were not written yet.
        log.info("All %d epochs are done: their results are taken from the record.", spec.train.num_epochs)
    elif module.start_epoch >= spec.train.num_epochs:
        raise _nothing_left(spec, module.start_epoch)
    else:
        lost = _bring_best(record, start.checkpoint) if processes.is_first else ""
        classes = len(sets.train.classes)
        log.info("%d images of %d classes, on %s in %s.", len(sets.train), classes, processes, precision)
        with all_pixels(spec, sets) as data.pixels, Tracking(spec, folder) as tracking:
            since = time.monotonic()
            if start.checkpoint is None and processes.is_first:
                _warm_up(data, start.seed, half=precision == "bf16-mixed")
            _fit(
                module, data, record, status=status, tracking=tracking, precision=precision,
                warm_up_seconds=time.monotonic() - since,
            )  # fmt: skip
    if not processes.is_first:
        return {"warnings": []}
    misfits = [str(report) for report in start.loaded if not report.fits]
    more = [warning for warning in (lost, unseen, module.collapse.warning) if warning]
    results = _results(spec, record, folder, [*misfits, *sets.warnings, *more])
    return results | {"pretrained": [report.document() for report in start.loaded]}


def _bring_best(record: CheckpointRecord, resumed: Checkpoint | None) -> str:
    """Let a training that goes on in a new folder keep the best of what it goes on with; return a warning, if any."""
    lost = record.bring_best(resumed.path.parent, resumed.training.get("best")) if resumed is not None else ""
    if lost:
        log.warning("%s", lost)
    return lost


def _load_sets(spec: TrainSpec, processes: Processes) -> CheckedSets:
    # Processes that Lightning starts need not look at each image again: the first has done so before it started them.
    decode = processes.is_first or spec.dataset.on_bad_image == "skip"
    sets = training_sets(spec, world_size=processes.count, decode=decode, progress=Progress("images checked"))
    for warning in sets.warnings:
        log.warning("%s", warning)
    return sets


def _criterion(spec: TrainSpec, images: ImageSet, seed: int, processes: Processes) -> Criterion:
    criterion = build_criterion(
        spec.train,
        num_instance=spec.dataset.num_instance,
        num_images=len(images),
        num_classes=len(images.classes),
        embed_dim=spec.model.feat_dim,
        seed=seed,
        processes=processes.count,
    )
    if criterion.memory is not None:
        earlier = criterion.memory.memory_size - spec.train.batch_size * processes.count
        log.info("Cross-batch memory of %d embeddings of earlier batches.", earlier)
    return criterion


def _warm_up(data: TrainingData, seed: int, half: bool) -> None:
    """Compute what a new training starts from, in its number format; other processes get it from the first."""
    spec, module = data.spec, data.module
    device, transform = data.processes.torch_device, _eval_transform(spec)
    warmup = Warmup(spec, data.sets.train, transform, device, seed, pixels=data.pixels, half=half)
    warmup.start_embedder(module.recogniser)
    warmup.start_criterion(module.recogniser, module.criterion)


def _fit(
    module: TrainingModule,
    data: TrainingData,
    record: CheckpointRecord,
    *,
    status: StatusLog,
    tracking: Tracking,
    precision: Precision,
    warm_up_seconds: float,
) -> None:
    spec, train, processes = data.spec, data.spec.train, data.processes
    checkpointing = Checkpointing(record, train, str(spec.model_name), data.sets.train.classes)
    report = EpochReport(
        data.validation(),
        _eval_transform(spec),
        status,
        interval=train.validation_interval,
        max_epoch=train.num_epochs,
        checkpointing=checkpointing,
        tracking=tracking,
        processes=processes,
        precision=precision,
        refit=Refit(spec, data.sets.train, data.pixels),
    )
    timer = StepTimer(report, projection_seconds=warm_up_seconds if train.embedder_refit else 0.0)
    torch.backends.cudnn.benchmark = train.cudnn.benchmark
    torch.backends.cudnn.deterministic = train.cudnn.deterministic
    trainer = pl.Trainer(
        accelerator=processes.device.accelerator,
        devices=processes.device.devices,
        num_nodes=processes.nodes,
        strategy=processes.strategy(),
        plugins=[processes.environment],
        precision=precision,
        max_epochs=train.num_epochs - module.start_epoch,
        callbacks=[EpochSampler(data), ProgressBar(), timer, report, checkpointing],
        logger=False,
        enable_checkpointing=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        default_root_dir=record.folder,
    )
    fit_together(trainer, module, data)


def _eval_transform(spec: TrainSpec) -> EvalTransform:
    data, model = spec.dataset, spec.model
    return EvalTransform(data.pixel_mean, data.pixel_std, model.input_width, model.input_height, model.input_channels)


def _transform_document(spec: TrainSpec) -> dict[str, Any]:
    return {"pixel_mean": list(spec.dataset.pixel_mean), "pixel_std": list(spec.dataset.pixel_std)}


def _nothing_left(spec: TrainSpec, start_epoch: int) -> SpecError:
    problem = Problem("train.num_epochs", spec.train.num_epochs, f"more than the {start_epoch} epochs that are done")
    return SpecError("There is nothing left to train.", problems=[problem])


def _results(spec: TrainSpec, record: CheckpointRecord, folder: Path, warnings: list[str]) -> dict[str, Any]:
    chosen = record.best or record.latest
    entry = next(entry for entry in record.checkpoints if entry.file == chosen)
    not_beaten = [_not_beaten(record, entry.metrics)] if entry.epoch == START_EPOCH else []
    return {
        "model_name": spec.model_name,
        "checkpoint": str(folder / chosen),
        "metrics": entry.metrics,
        "rejection": entry.rejection,
        "best_epoch": entry.epoch,
        "num_epochs": max(each.epoch for each in record.checkpoints) + 1,
        "warnings": [*warnings, *not_beaten],
    }


def _not_beaten(record: CheckpointRecord, start: Mapping[str, float]) -> str:
    """Word a warning of a training that found nothing better than it started from, with these metrics."""
    if record.mode == "max" and start.get(record.monitor, 0.0) >= 1:
        return f"{_NOT_BEATEN}its {record.monitor} is 1 already; validate with more classes, or with ones more alike."
    return f"{_NOT_BEATEN}try lower learning rates, a longer warm-up, or larger batches."
