"""Peers that pause, die and return (requirements 4 and 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ccarchiver_sim.pace import scaled
from tests.middleware.end import End

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.middleware.process import Peer

pytestmark = pytest.mark.processes

EVENT = "logevent_scalars"
CONFIGURATION = (
    "<CycloneDDS><Domain>"
    "<General><Interfaces><NetworkInterface name='lo' multicast='true'/></Interfaces></General>"
    "<Discovery>"
    "<LeaseDuration>{lease}s</LeaseDuration><SPDPInterval>0.5s</SPDPInterval>"
    "</Discovery>"
    "</Domain></CycloneDDS>"
)
"""This also tests a user's CYCLONEDDS_URI."""
SHORT_LEASE_S = 1.0
"""A peer is lost within about a second instead of ten."""
LONG_LEASE_S = 1000
"""No peer is lost while the test runs."""


def test_paused_peer_delivers_each_sample_exactly_once(
    idl: Path, peer: Callable[[], Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CYCLONEDDS_URI", CONFIGURATION.format(lease=scaled(SHORT_LEASE_S)))
    writer, end = peer(), End(idl)
    writer.ask("writer", EVENT)
    end.reader(EVENT)
    assert end.settle(EVENT)
    writer.ask("write_many", EVENT, 0, 50)
    assert end.collect(EVENT, 50) == list(range(50))

    end.has_match_changed(EVENT)
    writer.pause()
    assert end.match_changes(EVENT), "peer not lost"
    writer.resume()
    assert end.match_changes(EVENT), "peer not found again"
    assert writer.ask("matched", EVENT)
    writer.ask("write_many", EVENT, 50, 10)
    # A writer that is found again sends its history first, so duplicates precede the newest.
    assert end.collect(EVENT, 10) == list(range(50, 60))
    writer.ask("write_many", EVENT, 60, 1)
    assert end.collect(EVENT, 1) == [60]
    end.close()


def test_samples_of_a_restarted_writer_are_read_at_once(
    idl: Path, peer: Callable[[], Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With exclusive ownership its samples would be ignored until the old writer is lost."""
    monkeypatch.setenv("CYCLONEDDS_URI", CONFIGURATION.format(lease=LONG_LEASE_S))
    end = End(idl)
    end.reader(EVENT)
    assert end.settle(EVENT)
    first = peer()
    first.ask("writer", EVENT)
    first.ask("write_many", EVENT, 0, 1)
    assert end.collect(EVENT, 1) == [0]
    first.kill()

    second = peer()
    second.ask("writer", EVENT)
    assert second.ask("matched", EVENT)
    second.ask("write_many", EVENT, 1, 1)
    assert end.collect(EVENT, 1) == [1]
    end.close()


@pytest.mark.parametrize("theirs", ["shared", "exclusive"])
def test_peers_must_agree_on_ownership(
    idl: Path, peer: Callable[[], Peer], monkeypatch: pytest.MonkeyPatch, theirs: str
) -> None:
    monkeypatch.setenv("LSST_DDS_OWNERSHIP", theirs)
    writer = peer()
    writer.ask("writer", EVENT)
    writer.ask("write_many", EVENT, 0, 3)
    monkeypatch.setenv("LSST_DDS_OWNERSHIP", "exclusive")
    end = End(idl)
    end.reader(EVENT)
    assert end.settle(EVENT)
    assert end.numbers(EVENT) == ([0, 1, 2] if theirs == "exclusive" else [])
    end.close()
