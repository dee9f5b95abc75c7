"""All calls into TensorRT: versions 10 and 11, and TensorRT for RTX, whose names are the same.

Networks are strongly typed, which all of them know: a layer computes in the type that the ONNX model says.
"""

import importlib
import logging
from dataclasses import dataclass
from typing import Any, Literal

import torch

from tao_skill.errors import JobError, NotAvailableError, Problem
from tao_skill.installation import install_command
from tao_skill.metric_learning.engines.batches import Array

__all__ = [
    "BuildSettings",
    "Built",
    "Gpu",
    "Library",
    "LibraryName",
    "Session",
    "build_plan",
    "find_builder",
    "find_library",
    "gpu_of",
    "open_session",
]

log = logging.getLogger(__name__)
LibraryName = Literal["tensorrt", "tensorrt_rtx"]
_EXTRAS = {"tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt-rtx"}
_CPU_STEP = "on a CPU the ONNX file does the same: --parent-job-id of the export job, with evaluate or inference"
_MEBIBYTE = 2**20


@dataclass(frozen=True)
class Library:
    """An imported TensorRT."""

    name: LibraryName
    module: Any

    @property
    def version(self) -> str:
        """Return its version."""
        return str(self.module.__version__)


@dataclass(frozen=True)
class Gpu:
    """A GPU: its name, and its compute capability, such as 9.0."""

    name: str
    capability: str

    def __str__(self) -> str:
        return f"{self.name} (compute capability {self.capability})"


@dataclass(frozen=True)
class BuildSettings:
    """``profile`` holds the smallest, the best and the largest batch; None where the model's batch is fixed."""

    input_name: str
    image: tuple[int, int, int]
    profile: tuple[int, int, int] | None
    workspace_mb: int
    verbose: bool = False
    timing_cache: bytes | None = None


@dataclass(frozen=True)
class Built:
    """A serialised engine, its number of network layers, and what the builder learned of kernels' speeds.

    ``timing_cache`` is None where nothing is to be kept; ``warnings`` say what wasn't done as asked.
    """

    plan: bytes
    num_layers: int
    timing_cache: bytes | None
    warnings: tuple[str, ...] = ()


def find_library(name: LibraryName) -> Library:
    """Import a TensorRT.

    Raises:
        NotAvailableError: it isn't installed.
    """
    try:
        return Library(name, importlib.import_module(name))
    except (ImportError, OSError) as error:
        raise NotAvailableError(
            f"The package {name} is not installed, or can't be loaded ({error}): engines can be neither built nor run.",
            next_step=f"{install_command(_EXTRAS[name])}, on a machine with an NVIDIA GPU; {_CPU_STEP}",
        ) from error


def find_builder(name: LibraryName) -> Library:
    """Import the TensorRT that is to build an engine on this machine.

    Raises:
        NotAvailableError: it isn't installed, or is plain TensorRT on a machine without a GPU.
    """
    library = find_library(name)
    if library.name == "tensorrt":
        _need_gpu("build an engine with TensorRT")
    return library


def gpu_of(gpu_id: int) -> Gpu | None:
    """Return what is known of a GPU, which is there; None on a machine without one."""
    if not torch.cuda.is_available():
        return None
    found = torch.cuda.get_device_properties(gpu_id)
    return Gpu(found.name, f"{found.major}.{found.minor}")


def build_plan(library: Library, onnx_model: bytes, settings: BuildSettings) -> Built:
    """Parse an ONNX model and build an engine of it.

    ``library`` is one that may build here, as `find_builder` returns it.

    Raises:
        JobError: the parser or the builder refuses the model, with its reasons.
    """
    trt = library.module
    logger = _logger(trt, settings.verbose)
    builder = trt.Builder(logger)
    network = builder.create_network(_strongly_typed(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx_model):
        reasons = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        problems = [
            Problem("gen_trt_engine.onnx_file", reason, "a model that TensorRT's parser takes") for reason in reasons
        ]
        raise JobError(f"{library.name} {library.version} can't parse the model.", problems=problems)
    config = builder.create_builder_config()
    if hasattr(trt.BuilderFlag, "TF32"):
        # FP32 means FP32: TF32 would keep ten bits of each factor.
        config.clear_flag(trt.BuilderFlag.TF32)
    if settings.workspace_mb:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mb * _MEBIBYTE)
    if settings.profile is not None:
        profile = builder.create_optimization_profile()
        profile.set_shape(settings.input_name, *((size, *settings.image) for size in settings.profile))
        config.add_optimization_profile(profile)
    cache, keep, warnings = _timing_cache(library, config, settings.timing_cache)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        problem = Problem("gen_trt_engine.tensorrt", logger.last_error, "a network that the builder takes")
        raise JobError(f"{library.name} {library.version} can't build the engine.", problems=[problem])
    learned = bytes(memoryview(cache.serialize())) if keep else None
    return Built(bytes(memoryview(plan)), network.num_layers, learned, warnings)


class Session:
    """An engine on a GPU, ready to run batches."""

    def __init__(self, library: Library, plan: bytes, gpu_id: int) -> None:
        """Bring the engine to the GPU.

        Raises:
            NotAvailableError: no GPU, or the engine was built for another GPU or version.
        """
        _need_gpu("run an engine")
        trt = library.module
        self._device = torch.device("cuda", gpu_id)
        torch.cuda.set_device(self._device)
        logger = _logger(trt, verbose=False)
        self._runtime = trt.Runtime(logger)  # must live as long as the engine
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise NotAvailableError(
                f"{library.name} {library.version} can't load the engine: {logger.last_error}",
                next_step="build it again where it is to run: python -m tao_skill run gen_trt_engine",
            )
        self._context = self._engine.create_execution_context()
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        inputs = [name for name in names if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        (self._input,) = inputs
        (self._output,) = (name for name in names if name not in inputs)

    def run(self, images: Array) -> Array:
        """Map float32 images (batch, channels, height, width), a batch within the profile, to embeddings."""
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(stream):
            pixels = torch.from_numpy(images).to(self._device).contiguous()
            self._context.set_input_shape(self._input, tuple(pixels.shape))
            embeddings = torch.empty(tuple(self._context.get_tensor_shape(self._output)), device=self._device)
            self._context.set_tensor_address(self._input, pixels.data_ptr())
            self._context.set_tensor_address(self._output, embeddings.data_ptr())
            if not self._context.execute_async_v3(stream.cuda_stream):
                raise JobError("The engine failed on a batch.", problems=[Problem("batch", len(images), "its profile")])
        stream.synchronize()
        found: Array = embeddings.cpu().numpy()
        return found


def open_session(library: Library, plan: bytes, gpu_id: int) -> Session:
    """Bring an engine to a GPU, as `Session` says."""
    return Session(library, plan, gpu_id)


def _need_gpu(what: str) -> None:
    if not torch.cuda.is_available():
        raise NotAvailableError(
            f"This machine has no NVIDIA GPU that can be used, so it can't {what}.", next_step=_CPU_STEP
        )


def _strongly_typed(trt: Any) -> int:
    """Return the flags of a strongly typed network; TensorRT 11 knows no other kind."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _timing_cache(library: Library, config: Any, known: bytes | None) -> tuple[Any, bool, tuple[str, ...]]:
    """Return the cache that the builder fills, with what is known already; whether to keep it; and warnings.

    TensorRT for RTX has none. What TensorRT doesn't take is no reason not to build: kernels are timed anew.
    """
    if library.name == "tensorrt_rtx" or known is None:
        return None, False, ()
    key = "gen_trt_engine.timing_cache"
    cache = config.create_timing_cache(known)
    if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
        return cache, True, ()
    readable = cache is not None
    cache = config.create_timing_cache(b"")
    used = cache is not None and config.set_timing_cache(cache, ignore_mismatch=False)
    if not readable:
        return cache, False, (f"{key} is no timing cache that {library.name} reads: it stays as it is, unused.",)
    told = f"{key} is of another GPU or another {library.name}: kernels are timed anew, and it is replaced."
    return cache, used, (told,)


def _logger(trt: Any, verbose: bool) -> Any:
    """Return a logger for TensorRT that writes to this program's log and remembers the last error."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last_error = "it doesn't say why"

        def log(self, severity: Any, message: str) -> None:
            if severity.name in ("ERROR", "INTERNAL_ERROR"):
                self.last_error = message
                log.error("%s", message)
            elif verbose or severity.name == "WARNING":
                log.info("%s", message)

    return Logger()
