"""Structured logs and their form for a terminal."""
