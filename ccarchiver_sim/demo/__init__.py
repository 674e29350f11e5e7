"""The demo night: exposures through the whole archiver on one machine, and a table of what became of them."""
