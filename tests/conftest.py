"""What all tests share: as many of them run at once as there are processors, so each takes one thread."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
# What the tests train is nobody's to track; those of the tracking itself say otherwise.
os.environ["WANDB_MODE"] = "disabled"
