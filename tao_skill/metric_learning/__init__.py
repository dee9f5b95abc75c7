"""Learning embeddings and recognising with them; a checked spec with local paths comes in, files come out."""

import os

# Threads of PyTorch that wait by spinning take the processors away from the processes that load images: with as many
# of both as processors, a training step takes many times longer. It is read when PyTorch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
