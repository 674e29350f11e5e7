"""The simulated peers of the archiver, each a process of its own, and what they share."""
