"""Deadlines of the archiver in a campaign: short on a free machine, longer on one that is busy when it begins.

They are in the workers' site file, so they cannot change while a campaign runs.
"""

from __future__ import annotations

from typing import Final

from ccarchiver_sim.pace import slowness

LARGEST_FACTOR = 3.0
"""Above it faults would take minutes to show. The limits of the campaign itself grow without a bound."""
FACTOR: Final = min(slowness(), LARGEST_FACTOR)
"""By which deadlines are longer than on a free machine, so that no healthy worker or peer misses one."""

ACK_TIMEOUT_S: Final = 2.0 * FACTOR
"""Two misses show within four seconds instead of ten."""
LATE_ACK_S: Final = 1.25 * ACK_TIMEOUT_S
"""An answer so late comes after the first deadline and before the second one."""
LEASE_TTL_S: Final = 2.0 * FACTOR
PAST_LEASE_S: Final = 1.25 * LEASE_TTL_S
"""Longer than the lease; with the start of another instance shorter than WATCHDOG_TIMEOUT."""
HUNG_AFTER_S: Final = 6.0 * FACTOR
PAIR_TIMEOUT_S: Final = 8.0 * FACTOR
CONNECT_TIMEOUT_S: Final = 4.0 * FACTOR
REASSIGN_GRACE_S: Final = 20.0 * FACTOR
"""A Forwarder that has lost its archiver lists itself within 10 s; one that was killed is started again sooner."""
