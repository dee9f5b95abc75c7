"""The train action."""

import logging
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from tao_skill.config.actions import TrainSpec
from tao_skill.errors import NotAvailableError, Problem, SpecError
from tao_skill.metric_learning.all_problems import all_problems
from tao_skill.metric_learning.data.for_spec import training_sets
from tao_skill.metric_learning.data.image_set import ImageSet
from tao_skill.metric_learning.data.sampler import PKBatchSampler
from tao_skill.metric_learning.data.transforms import EvalTransform
from tao_skill.metric_learning.device import Device, choose_device, choose_precision
from tao_skill.metric_learning.model.recogniser import ModelSettings
from tao_skill.metric_learning.progress import Progress
from tao_skill.metric_learning.status import StatusLog
from tao_skill.metric_learning.training.callbacks import EpochReport, EpochSampler, ProgressBar
from tao_skill.metric_learning.training.checkpointing import START_EPOCH, Checkpointing, new_record
from tao_skill.metric_learning.training.criterion import Criterion, build_criterion
from tao_skill.metric_learning.training.data import TrainingData, all_pixels, unseen_warning
from tao_skill.metric_learning.training.module import TrainingModule
from tao_skill.metric_learning.training.record import CheckpointRecord
from tao_skill.metric_learning.training.start import Warmup, load_start
from tao_skill.metric_learning.training.tracking import Tracking

__all__ = ["train"]

log = logging.getLogger(__name__)
NOT_BEATEN = (
    "No epoch beat the model that training started from, which is kept as the best: try lower learning rates, "
    "a longer warm-up, or larger batches."
)
# Its notes on devices and products belong to nobody who reads this program's output.
logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)


def train(spec: TrainSpec, folder: Path, status: StatusLog) -> dict[str, Any]:
    """Train a recogniser, write its checkpoints into a folder, and return metrics and the best checkpoint.

    Raises:
        DataError, SpecError, CheckpointError, NotAvailableError: before the first step, with all problems.
    """
    device = choose_device(spec.train.num_gpus, spec.train.gpu_ids, "train.gpu_ids")
    _refuse_several_processes(spec, device)
    with all_problems("train", spec):
        start = load_start(spec)
    sets = training_sets(spec, progress=Progress("images checked"))
    for warning in sets.warnings:
        log.warning("%s", warning)
    precision = choose_precision(spec.train.precision, device, start.recogniser)
    criterion = _criterion(spec, sets.train, start.seed)
    module = TrainingModule(start.recogniser, criterion, spec, start.seed)
    record = new_record(folder, spec.train, ModelSettings.of(spec.model), _transform_document(spec))
    if start.checkpoint is not None:
        module.resume(start.checkpoint.training)
        record.take_over()
        if module.start_epoch == spec.train.num_epochs and (record.best or record.latest):
            # Killed after its last checkpoint: only the results were not written yet.
            log.info("All %d epochs are done: their results are taken from the record.", spec.train.num_epochs)
            return _results(spec, record, folder, sets.warnings)
        if module.start_epoch >= spec.train.num_epochs:
            raise _nothing_left(spec, module.start_epoch)
    sampler = PKBatchSampler(sets.train.labels, spec.train.batch_size, spec.dataset.num_instance, module.seed)
    unseen = unseen_warning(sets.train, sampler, spec.train.num_epochs)
    if unseen:
        log.warning("%s", unseen)
    classes = len(sets.train.classes)
    log.info("%d images of %d classes, on the %s in %s.", len(sets.train), classes, device.accelerator, precision)
    with all_pixels(spec, sets) as pixels, Tracking(spec, folder) as tracking:
        if start.checkpoint is None:
            warmup = Warmup(spec, sets.train, _eval_transform(spec), device, start.seed, pixels=pixels)
            warmup.start_embedder(start.recogniser)
            warmup.start_criterion(start.recogniser, criterion)
        data = TrainingData(sets, sampler, pixels)
        _fit(spec, module, data, record, status=status, tracking=tracking, device=device, precision=precision)
    more = [warning for warning in (unseen, module.collapse.warning) if warning]
    return _results(spec, record, folder, [*sets.warnings, *more])


def _refuse_several_processes(spec: TrainSpec, device: Device) -> None:
    several = {"train.num_nodes": spec.train.num_nodes}
    if device.accelerator == "gpu":
        several["train.num_gpus"] = spec.train.num_gpus
    only_one = "1: this version trains in one process"
    problems = [Problem(key, number, only_one) for key, number in several.items() if number > 1]
    if problems:
        raise NotAvailableError("Training on several GPUs or machines can't be done yet.", problems=problems)


def _criterion(spec: TrainSpec, images: ImageSet, seed: int) -> Criterion:
    criterion = build_criterion(
        spec.train,
        num_instance=spec.dataset.num_instance,
        num_images=len(images),
        num_classes=len(images.classes),
        embed_dim=spec.model.feat_dim,
        seed=seed,
    )
    if criterion.memory is not None:
        log.info("Cross-batch memory of %d embeddings.", criterion.memory.memory_size)
    return criterion


def _fit(
    spec: TrainSpec,
    module: TrainingModule,
    data: TrainingData,
    record: CheckpointRecord,
    *,
    status: StatusLog,
    tracking: Tracking,
    device: Device,
    precision: Any,
) -> None:
    train = spec.train
    # The first epoch's loader is asked for its batches before any callback runs.
    data.sampler.set_epoch(module.start_epoch)
    data.sampler.set_start_batch(module.epoch_step)
    checkpointing = Checkpointing(record, train, str(spec.model_name), data.sets.train.classes)
    report = EpochReport(
        data.validation(spec),
        _eval_transform(spec),
        status,
        interval=train.validation_interval,
        max_epoch=train.num_epochs,
        checkpointing=checkpointing,
        tracking=tracking,
    )
    torch.backends.cudnn.benchmark = train.cudnn.benchmark
    torch.backends.cudnn.deterministic = train.cudnn.deterministic
    trainer = pl.Trainer(
        accelerator=device.accelerator,
        devices=device.devices,
        num_nodes=train.num_nodes,
        strategy="auto",
        precision=precision,
        max_epochs=train.num_epochs - module.start_epoch,
        callbacks=[EpochSampler(data.sampler), ProgressBar(), report, checkpointing],
        logger=False,
        enable_checkpointing=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        default_root_dir=record.folder,
    )
    with warnings.catch_warnings():
        # Lightning advises more workers than this machine may have processors, and says so on every run.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        # Lightning calls a function of PyTorch that is being renamed.
        warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated.*")
        # Which parts stay in evaluation mode is decided at the start of each epoch.
        module.train()
        try:
            trainer.fit(module, data.batches(spec, module.seed))
        except SystemExit as error:
            # Lightning answers Ctrl-C and SIGTERM by leaving the program: what it is part of has to know why.
            raise KeyboardInterrupt from error


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
    return {
        "model_name": spec.model_name,
        "checkpoint": str(folder / chosen),
        "metrics": entry.metrics,
        "rejection": entry.rejection,
        "best_epoch": entry.epoch,
        "num_epochs": max(each.epoch for each in record.checkpoints) + 1,
        "warnings": [*warnings, *([NOT_BEATEN] if entry.epoch == START_EPOCH else [])],
    }
