"""Keep reference images' embeddings in a folder that lives: add, remove, search, without training anything."""
