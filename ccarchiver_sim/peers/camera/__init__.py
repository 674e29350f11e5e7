"""The simulated camera: takes exposures and sends their events on SAL."""
