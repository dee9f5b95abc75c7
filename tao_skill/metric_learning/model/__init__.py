"""The network: trunk, embedder, and the files that hold their weights."""
