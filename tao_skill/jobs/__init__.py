"""What the project remembers: one record per job, and the processes that do the work."""
