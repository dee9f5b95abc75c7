"""Learning an embedding: loss, schedule, checkpoints and the loop around them."""
