"""The names of the actions, apart from their dataclasses, which take a while to load."""

__all__ = ["ACTIONS", "DEPLOY_ACTIONS"]

ACTIONS = ("train", "evaluate", "inference", "export", "gen_trt_engine")
# The actions that a TensorRT engine serves; each has a template of its own.
DEPLOY_ACTIONS = ("gen_trt_engine", "evaluate", "inference")
