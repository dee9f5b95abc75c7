"""How the names of model files end: by its end a later step tells what a file is and what can load it."""

__all__ = ["ENGINE_ENDINGS", "ONNX_ENDINGS", "ends_with"]

ONNX_ENDINGS = (".onnx",)
ENGINE_ENDINGS = (".engine", ".trt", ".plan")


def ends_with(name: str, endings: tuple[str, ...]) -> bool:
    """Tell whether a path or URI has one of the endings, in small letters or large ones."""
    return name.lower().endswith(endings)
