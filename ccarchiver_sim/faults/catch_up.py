"""Waiting until the archiver has caught up; the check for losses is at the end of the scenario."""

from contextlib import suppress

from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.testbed import polling

FEW_OUTSTANDING = 12
"""Images in progress at a usual rate with a slow peer: those of four seconds."""
CATCH_UP_LIMIT_S = 40.0
"""Longer than a takeover with a backlog takes."""


async def wait_until_caught_up(testbed: FaultTestbed) -> None:
    """Wait until few images are outstanding, or until the limit has passed."""

    def caught_up() -> bool:
        testbed.observe()
        return len(testbed.oracle.outstanding(testbed.oracle.run)) <= FEW_OUTSTANDING

    with suppress(polling.WaitError):
        await polling.wait_for(caught_up, CATCH_UP_LIMIT_S, "the workers to catch up")
