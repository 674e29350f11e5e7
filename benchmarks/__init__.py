"""Latency and load of the archiver, compared with the floor.

The floor is the time of the hops that a message must make, each measured alone in the same run.
The package is not installed, and the archiver does not need it. Run `python -m benchmarks.main` or
`make bench`.
"""
