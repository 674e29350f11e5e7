"""The fault campaign: exposures through the whole archiver while it is killed, cut off and lied to, and nothing lost.

Its oracle knows only what was put on SAL and what came out: files on disk and events on SAL.
"""
