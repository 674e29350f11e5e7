"""The layout of raw files: the segments of a CCD, one for each amplifier."""
