"""Status page: read-only, on loopback by default.

It runs in the health worker's process, and an error of the page never affects the worker's tasks.
"""
