"""Learn to recognise: data, model, training, retrieval."""
