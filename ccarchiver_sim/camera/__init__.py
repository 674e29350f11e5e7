"""The simulated ComCam: takes exposures and tells of them on SAL."""
