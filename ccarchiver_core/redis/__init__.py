"""Connections to Redis and the names of the archiver's keys."""
