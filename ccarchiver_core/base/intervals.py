"""Intervals that several packages must agree on."""

from __future__ import annotations

HEARTBEAT_S = 1.0
"""Seconds between two heartbeats of a worker. WATCHDOG_TIMEOUT must be longer."""
