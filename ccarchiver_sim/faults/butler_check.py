"""Check that the Butler has what was delivered in a campaign or a night."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_sim.butler.check import ButlerCheck, check_butler

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings
    from ccarchiver_sim.faults.oracle import Oracle


def check_delivered(settings: Settings, oracle: Oracle) -> ButlerCheck:
    """Return what the Butler of a site has of all exposures that were delivered."""
    traces = oracle.traces.values()
    return check_butler(
        settings, [trace.obsid for trace in traces if oracle.delivered_at(trace) is not None]
    )
