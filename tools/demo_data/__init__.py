"""Data for the demo, made on the spot: rendered retail products and real scans of digits."""
