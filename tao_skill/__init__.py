"""Train, tune, evaluate and ship an embedding model that recognises things by comparing them with examples."""

__version__ = "0.1.0"
