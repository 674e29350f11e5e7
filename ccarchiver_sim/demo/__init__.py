"""The demo: a night of exposures through the whole archiver on one machine, and a result table."""
