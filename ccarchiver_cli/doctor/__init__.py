"""``ccarchiver doctor``: is everything around the archiver as it has to be, and if not, what to type."""
