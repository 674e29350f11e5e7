"""How long the archiver takes, beside the floor: each hop a message must take, alone, in the same run.

Not installed and not needed to run the archiver; `python -m benchmarks.main`, or `make bench`.
"""
