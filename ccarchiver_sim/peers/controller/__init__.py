"""The simulated ComCam Controller: names target directories, links arrived files to where they are used."""
