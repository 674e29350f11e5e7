"""Deadlines of the archiver in a campaign: short on an idle machine, longer on a busy one.

The load at the start of the campaign sets them. They are in the workers' site file, so they cannot
change while a campaign runs.
"""

from __future__ import annotations

from typing import Final

from ccarchiver_sim.pace import slowness

LARGEST_FACTOR = 3.0
"""With a larger factor, faults would take minutes to have an effect. The limits of the campaign
itself have no bound."""
FACTOR: Final = min(slowness(), LARGEST_FACTOR)
"""Factor by which deadlines are longer than on an idle machine, so that no healthy worker or peer
misses one."""

ACK_TIMEOUT_S: Final = 2.0 * FACTOR
"""Two missed acknowledgements are detected within four seconds instead of ten."""
LATE_ACK_S: Final = 1.25 * ACK_TIMEOUT_S
"""Delay of an answer that arrives after the first deadline and before the second one."""
SCAN_INTERVAL_S: Final = 10.0 * FACTOR
"""A scan that died with its Forwarder is repeated within seconds instead of ten minutes."""
LEASE_TTL_S: Final = 2.0 * FACTOR
PAST_LEASE_S: Final = 1.25 * LEASE_TTL_S
"""Longer than the lease, but with the start of another instance shorter than WATCHDOG_TIMEOUT."""
WATCHDOG_TIMEOUT_S: Final = 6.0 * FACTOR
PAIR_TIMEOUT_S: Final = 8.0 * FACTOR
CONNECT_TIMEOUT_S: Final = 4.0 * FACTOR
REASSIGN_GRACE_S: Final = 20.0 * FACTOR
"""A Forwarder that has lost its archiver registers within 10 s; one that was killed is restarted
sooner."""
