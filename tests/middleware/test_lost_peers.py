"""Peers that pause, die and come back (requirements 4 and 6)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.middleware.end import End

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.middleware.process import Peer

EVENT = "logevent_scalars"
SHORT_LEASE = (
    "<CycloneDDS><Domain><General><Interfaces><NetworkInterface name='lo' multicast='true'/></Interfaces></General>"
    "<Discovery><LeaseDuration>1s</LeaseDuration><SPDPInterval>0.5s</SPDPInterval></Discovery></Domain></CycloneDDS>"
)
"""Lost within a second instead of ten; it also shows that a user's CYCLONEDDS_URI is honoured."""
UNTIL_LOST = 3.0


def test_a_peer_that_paused_delivers_nothing_twice_and_nothing_less(
    idl: Path, peer: Callable[[], Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CYCLONEDDS_URI", SHORT_LEASE)
    writer, end = peer(), End(idl)
    writer.ask("writer", EVENT)
    end.reader(EVENT)
    assert end.settle(EVENT)
    writer.ask("write_many", EVENT, 0, 50)
    assert end.collect(EVENT, 50, 10) == list(range(50))

    writer.pause()
    time.sleep(UNTIL_LOST)
    writer.resume()
    assert writer.ask("matched", EVENT)
    writer.ask("write_many", EVENT, 50, 10)
    assert end.collect(EVENT, 11, 3) == list(range(50, 60))
    end.close()


def test_a_restarted_writer_is_heard_at_once(idl: Path, peer: Callable[[], Peer]) -> None:
    """With exclusive ownership it would stay mute until the old one's lease ends, after 10 s."""
    end = End(idl)
    end.reader(EVENT)
    assert end.settle(EVENT)
    first = peer()
    first.ask("writer", EVENT)
    first.ask("write_many", EVENT, 0, 1)
    assert end.collect(EVENT, 1, 10) == [0]
    first.kill()

    second = peer()
    second.ask("writer", EVENT)
    assert second.ask("matched", EVENT)
    second.ask("write_many", EVENT, 1, 1)
    assert end.collect(EVENT, 1, 4) == [1]
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
