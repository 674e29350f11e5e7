"""Measurements; each prints its figures. Not installed: see the Makefile."""
