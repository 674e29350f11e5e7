"""The archiver's metrics: one Prometheus exposition for all workers, read from Redis when it is asked for.

Counters live in Redis and are raised in the atomic step of what they count, so they survive every restart and count
nothing twice. Nothing is kept in the process that serves them.
"""

from ccarchiver_health.metrics.render import render

__all__ = ["render"]
