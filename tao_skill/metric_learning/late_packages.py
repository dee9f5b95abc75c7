"""Let packages that import all they have wait until somebody asks for it: half of a training's start went there.

Lightning wants two classes of torchmetrics, and gets all metrics, with SciPy's and torchvision's; a timm network is one
file of a hundred; each optimizer mentions PyTorch's compiler, which nothing here uses. A package that is made late has
only the names of the table below at first, each from where it is defined. Whatever else is asked of it runs the package
as a plain import does: nobody gets less, only later.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["make_packages_late"]

# A name's module, or the thing itself.
Names = Mapping[str, Any]
_loading = threading.RLock()


def make_packages_late() -> None:
    """From now on import the packages of the table late, unless they are imported already."""
    if not any(isinstance(finder, _LateFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _LateFinder())


class _CompiledKind(type):
    """Knows compiled modules by the compiler's own class; as long as there is no compiler, there are none."""

    def __instancecheck__(cls, thing: object) -> bool:
        compiler = sys.modules.get("torch._dynamo")
        return type(compiler) is ModuleType and isinstance(thing, compiler.OptimizedModule)


class _CompiledModule(metaclass=_CompiledKind):
    pass


def _as_it_is(function: Any = None, *_: object, **__: object) -> Any:
    """Stand for a decorator that keeps the compiler away."""
    return function if function is not None else _as_it_is


def _nothing(*_: object, **__: object) -> None:
    """Stand for a mark that only the compiler reads."""


def _torchmetrics() -> Names:
    import logging

    return {
        "__version__": "torchmetrics.__about__",
        "_logger": logging.getLogger("torchmetrics"),
        # Its own module can't be the first of the package to be imported.
        "Metric": "torchmetrics.utilities.checks",
        "MetricCollection": "torchmetrics.collections",
    }


def _torchmetrics_plot() -> Names:
    # It imports matplotlib wherever that is installed; a metric's plot method asks for it.
    plot = "plot_single_or_multi_val"
    shown = {plot: _late_function("torchmetrics.utilities.plot", plot)}
    return {"_AX_TYPE": object, "_PLOT_OUT_TYPE": tuple[object, object], **shown}


def _timm() -> Names:
    registry = ("is_model", "get_pretrained_cfg")
    return {
        "__version__": "timm.version",
        "create_model": "timm.models._factory",
        **dict.fromkeys(registry, "timm.models._registry"),
    }


def _timm_hub() -> Names:
    loaders = ("model_config_from_hf", "model_config_from_path", "state_dict_from_hf", "state_dict_from_path")
    names = ["has_hf_hub", "download_cached_file", "check_cached_file", "load_custom_from_hf"]
    return {name: _late_function("timm.models._hub", name) for name in [*names, *(f"load_{what}" for what in loaders)]}


def _late_function(module: str, name: str) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        whole = sys.modules[module]
        run_now(whole)
        return getattr(whole, name)(*arguments, **options)

    return call


def _timm_data() -> Names:
    sizes = ("DEFAULT_CROP_PCT", "DEFAULT_CROP_MODE")
    kinds = ("IMAGENET_DEFAULT", "IMAGENET_INCEPTION", "IMAGENET_DPN", "OPENAI_CLIP")
    names = [*sizes, *(f"{kind}_{what}" for kind in kinds for what in ("MEAN", "STD"))]
    return dict.fromkeys(names, "timm.data.constants")


def _compiler() -> Names:
    return {"OptimizedModule": _CompiledModule, "disable": _as_it_is, "graph_break": _nothing}


def _flop_counter() -> Names:
    return {"FlopCounterMode": _late_function("torch.utils.flop_counter", "FlopCounterMode")}


def _none() -> Names:
    return {}


# What each package has from the start.
_LATE: Mapping[str, Callable[[], Names]] = {
    "torchmetrics": _torchmetrics,
    "torchmetrics.utilities.plot": _torchmetrics_plot,
    "torchvision": _none,
    "torchvision.models": _none,
    "torchvision.ops": _none,
    "timm": _timm,
    "timm.data": _timm_data,
    "timm.models": _none,
    "timm.models._hub": _timm_hub,
    "scipy.special": _none,
    "scipy.stats": _none,
    "torch._dynamo": _compiler,
    # Lightning's summary of a model counts with it; it wants Triton.
    "torch.utils.flop_counter": _flop_counter,
    # TensorBoard's writer can write to S3.
    "boto3": _none,
    "botocore": _none,
}
# These run as a whole before any of their parts does.
_WHOLE = frozenset({"boto3", "botocore", "scipy.special", "scipy.stats", "torch._dynamo"})
# Parts of these ask their own package for names: which ones, is known of these versions.
_KNOWN = {"torchmetrics": "1.9.", "timm": "1.0."}


class _LateFinder(MetaPathFinder):
    """Finds packages as Python does, and gives those of the table a loader that waits."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec of a package that is made late; None leaves all others to Python."""
        if name not in _LATE or not _is_known(name.partition(".")[0]):
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find and finder is not self else None
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _LateLoader(spec.loader)
                return spec
        return None


def _is_known(package: str) -> bool:
    if package not in _KNOWN:
        return True
    try:
        return metadata.version(package).startswith(_KNOWN[package])
    except metadata.PackageNotFoundError:
        return False


class _LateLoader(Loader):
    """Makes a module that its package's own loader runs later."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave it to Python."""
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Give the module the table's names, and run nothing."""
        names = dict(_LATE[module.__name__]())
        module.__dict__["_late_names"] = names
        if module.__name__ in _WHOLE:
            module.__path__ = _LatePath(module)
        module.__class__ = _LateModule


class _LateModule(ModuleType):
    """A package that runs when it is asked for more than the table's names."""

    def __getattr__(self, name: str) -> Any:
        found = self.__dict__.get("_late_names", {}).get(name)
        if found is not None:
            value = getattr(importlib.import_module(found), name) if isinstance(found, str) else found
            self.__dict__[name] = value
            return value
        # Python and its tools ask every module for such names, to find that most have none.
        if not name.startswith("__") or name == "__all__":
            run_now(self)
            if name in self.__dict__:
                return self.__dict__[name]
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


class _LatePath(list[str]):
    """The folder of a package whose parts can't be imported before it has run: who looks there, runs it."""

    def __init__(self, module: ModuleType) -> None:
        super().__init__(module.__path__)
        self._module = module

    def __iter__(self) -> Iterator[str]:
        run_now(self._module)
        return super().__iter__()


def run_now(module: ModuleType) -> None:
    """Run a package that was made late, if that has not been done."""
    with _loading:
        names = module.__dict__.pop("_late_names", None)
        spec = module.__spec__
        if names is None or spec is None or not isinstance(spec.loader, _LateLoader):
            return
        for name in names:
            module.__dict__.pop(name, None)
        if spec.submodule_search_locations is not None:
            module.__path__ = spec.submodule_search_locations
        spec.loader = module.__loader__ = spec.loader.loader
        spec.loader.exec_module(module)
        module.__class__ = ModuleType  # only now: until then, other threads that ask wait for the lock
