"""Learning embeddings and recognising with them; a checked spec with local paths comes in, files come out."""

import os

# A thread of PyTorch that waits for the others' part of an operation spins this often before it sleeps: 1 to 3 ms.
# Waking up takes longer than most operations of a small network: with threads that sleep at once, a step takes 1.6
# times as long. Those that spin for longer, as they do unless told, keep processors from whatever else is to be done.
# It is read when PyTorch is first imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "50000")
