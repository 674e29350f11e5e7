"""The simulated peers of the archiver, each in a process of its own, and their common code."""
