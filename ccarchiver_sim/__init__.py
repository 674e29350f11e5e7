"""Simulated peers of the ComCam Archiver, each a process of its own.

They speak the wire contract on their own account and import nothing of the archiver's workers, so that a mistake in the
archiver's messages cannot hide by being made on both sides.
"""
