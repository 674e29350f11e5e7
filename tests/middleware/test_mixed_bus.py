"""A bus with OpenSplice peers (LSST_DDS_PEER=opensplice).

The peers here are Cyclone endpoints with the policies of genuine programs: readers that ask for
TRANSIENT, acknowledgements with EXCLUSIVE ownership, and no setting of the stand-in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.middleware.end import End

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.middleware.process import Peer

pytestmark = pytest.mark.processes

EVENT, TELEMETRY, COMMAND, ACK = "logevent_scalars", "scalars", "command_wait", "ackcmd"
TOPICS = (EVENT, TELEMETRY, COMMAND, ACK)
KEPT = 100


@pytest.fixture
def mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSST_DDS_PEER", "opensplice")


@pytest.mark.usefixtures("mixed")
@pytest.mark.parametrize("topic", TOPICS)
def test_genuine_reader_receives_all_live_samples(
    idl: Path, peer: Callable[[], Peer], topic: str
) -> None:
    genuine, end = peer(), End(idl)
    genuine.ask("genuine_reader", topic)
    end.writer(topic)
    assert end.matched(topic)
    assert genuine.ask("match_changes", topic)
    end.write_many(topic, 0, KEPT)
    assert genuine.ask("collect", topic, KEPT) == list(range(KEPT))
    assert end.warnings() == []
    end.close()


@pytest.mark.usefixtures("mixed")
@pytest.mark.parametrize("topic", TOPICS)
def test_samples_of_a_genuine_writer_arrive(
    idl: Path, peer: Callable[[], Peer], topic: str
) -> None:
    genuine, end = peer(), End(idl)
    genuine.ask("genuine_writer", topic)
    end.reader(topic)
    assert end.match_changes(topic)
    assert genuine.ask("matched", topic)
    genuine.ask("write_many", topic, 0, KEPT)
    assert end.collect(topic, KEPT) == list(range(KEPT))
    assert end.warnings() == []
    end.close()


@pytest.mark.usefixtures("mixed")
def test_late_reader_of_our_own_kind_gets_the_history_once(
    idl: Path, peer: Callable[[], Peer]
) -> None:
    writer, end = peer(), End(idl)
    writer.ask("writer", EVENT)
    writer.ask("write_many", EVENT, 0, KEPT + 50)
    end.reader(EVENT)
    assert end.settle(EVENT)
    assert end.numbers(EVENT) == list(range(50, KEPT + 50))
    # Live samples arrive from both writers of the peer, and count once.
    writer.ask("write_many", EVENT, 500, KEPT)
    assert end.collect(EVENT, KEPT) == list(range(500, 500 + KEPT))
    writer.ask("write_many", EVENT, 999, 1)
    assert end.collect(EVENT, 1) == [999]
    end.close()


@pytest.mark.usefixtures("mixed")
def test_restarted_writer_is_heard_at_once_by_all(idl: Path, peer: Callable[[], Peer]) -> None:
    genuine, first, end = peer(), peer(), End(idl)
    genuine.ask("genuine_reader", EVENT)
    end.reader(EVENT)
    assert end.settle(EVENT)
    first.ask("writer", EVENT)
    assert first.ask("matched", EVENT)
    first.ask("write_many", EVENT, 0, 1)
    assert end.collect(EVENT, 1) == [0]
    assert genuine.ask("collect", EVENT, 1) == [0]
    first.kill()

    second = peer()
    second.ask("writer", EVENT)
    assert second.ask("matched", EVENT)
    second.ask("write_many", EVENT, 1, 1)
    assert end.collect(EVENT, 1) == [1]
    assert genuine.ask("collect", EVENT, 1) == [1]
    end.close()


def test_writer_that_offers_too_little_is_named(idl: Path, peer: Callable[[], Peer]) -> None:
    """Without the setting, a genuine reader of events matches none of our writers."""
    genuine, end = peer(), End(idl)
    end.writer(EVENT)
    end.reader(EVENT)
    genuine.ask("genuine_reader", EVENT)
    assert end.settle(EVENT)

    (warning,) = end.warnings()
    assert f"Test_{EVENT}" in warning
    assert "a reader of " in warning
    assert "the durability Transient, the writer of this program TransientLocal" in warning
    assert "LSST_DDS_PEER" in warning
    assert end.warnings() == [warning], "it is logged once"
    end.close()


def test_other_ownership_is_named(
    idl: Path, peer: Callable[[], Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = peer()
    genuine.ask("genuine_writer", ACK)
    monkeypatch.setenv("LSST_DDS_OWNERSHIP", "shared")
    end = End(idl)
    end.reader(ACK)
    end.reader(EVENT)
    assert end.settle(EVENT)
    (warning,) = (text for text in end.warnings() if f"Test_{ACK}" in text)
    assert "a writer of " in warning
    assert "the ownership Exclusive, the reader of this program Shared" in warning
    end.close()
