"""The command line: one file per command, and the only place that prints or exits.

Each command file imports what it needs inside its function, so that `--help` and small commands start at once.
"""
