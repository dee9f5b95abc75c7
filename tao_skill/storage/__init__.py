"""Move bytes: turn what a spec names into files and folders on this machine."""
