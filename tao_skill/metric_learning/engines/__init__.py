"""What turns images into embeddings: one protocol, an implementation for each engine."""
