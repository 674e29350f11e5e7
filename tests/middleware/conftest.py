"""A separate DDS bus for each test, and processes on it."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interfaces.generate import write
from interfaces.release import Release
from interfaces.salxml import load_xml
from tests.middleware.process import Peers
from tests.middleware.settling import settle_at_the_machines_pace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.middleware.process import Peer

XML = Path(__file__).parent.parent / "interfaces" / "data" / "xml"
FIRST_DOMAIN, DOMAINS = 1, 100
"""Domains with ports below Linux's ephemeral range, chosen by process number."""


def choose_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make everything that is started from now on use a new bus."""
    for name in (
        "CYCLONEDDS_URI",
        "LSST_DDS_INTERFACE",
        "LSST_DDS_OWNERSHIP",
        "LSST_DDS_PEER",
        "LSST_DDS_HISTORYSYNC",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LSST_DDS_DOMAIN_ID", str(FIRST_DOMAIN + os.getpid() % DOMAINS))
    monkeypatch.setenv("LSST_DDS_PARTITION_PREFIX", "test-" + uuid.uuid4().hex[:12])


@pytest.fixture(scope="module")
def bus_of_the_module() -> Iterator[None]:
    """Choose a bus for programs that several tests use."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        choose_bus(monkeypatch)
        yield


@pytest.fixture(autouse=True)
def bus(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose a bus for each test, unless the test uses that of its module."""
    if "bus_of_the_module" not in request.fixturenames:
        choose_bus(monkeypatch)


@pytest.fixture(scope="session")
def idl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generate the IDL of the indexed component Test, which has fields of all types."""
    (path,) = write(load_xml(XML, ["Test"]), "test", Release.SAL_6, tmp_path_factory.mktemp("idl"))
    return path


@pytest.fixture(autouse=True)
def _paced(monkeypatch: pytest.MonkeyPatch) -> None:
    settle_at_the_machines_pace(monkeypatch)


@pytest.fixture(scope="session")
def peers(idl: Path) -> Iterator[Peers]:
    """Processes that the tests share, one test after another."""
    peers = Peers(idl)
    yield peers
    peers.close()


@pytest.fixture
def peer(peers: Peers, bus: None) -> Iterator[Callable[..., Peer]]:
    """Return a function that starts a process on the bus, with an optional depth of its queues."""
    del bus
    yield peers.take
    peers.give_back()
