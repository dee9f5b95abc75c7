"""Recognise by nearest neighbours, and measure how well it works; knows embeddings and labels, no models or images."""
