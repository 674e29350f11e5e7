"""The simulated camera: takes exposures and tells of them on SAL."""
