"""Metrics of the archiver: one Prometheus exposition for all workers, read from Redis at a scrape.

Counters are stored in Redis. Each is raised in the transaction of the operation that it counts, so
it survives every restart and counts nothing twice. The process that serves the metrics has no
state of them.
"""

from ccarchiver_health.metrics.render import render

__all__ = ["render"]
