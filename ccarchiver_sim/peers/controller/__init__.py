"""The simulated ComCam Controller: assigns target directories and hard-links arrived files."""
