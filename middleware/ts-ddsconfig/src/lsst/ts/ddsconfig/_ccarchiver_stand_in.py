"""Marks this package as a stand-in: see `genuine_first.STAND_IN_MARKER`."""
