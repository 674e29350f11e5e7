"""Simulated peers of the ComCam Archiver, and the testbed, demo, soak and fault campaigns.

Each peer is a separate process. The peers implement the wire contract themselves and import nothing
from the archiver's workers. A mistake in the archiver's messages therefore cannot be repeated, and
hidden, on the peers' side.
"""
