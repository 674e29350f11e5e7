"""A DDS bus of its own for each test, and processes on it."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interfaces.generate import write
from interfaces.salxml import load_xml
from tests.middleware.process import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

XML = Path(__file__).parent.parent / "interfaces" / "data" / "xml"
FIRST_DOMAIN, DOMAINS = 1, 100
"""Domains whose ports lie below those that Linux hands out; taken by process number, for runs at the same time."""


@pytest.fixture(autouse=True)
def bus(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CYCLONEDDS_URI", "LSST_DDS_INTERFACE", "LSST_DDS_OWNERSHIP", "LSST_DDS_HISTORYSYNC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LSST_DDS_DOMAIN_ID", str(FIRST_DOMAIN + os.getpid() % DOMAINS))
    monkeypatch.setenv("LSST_DDS_PARTITION_PREFIX", "test-" + uuid.uuid4().hex[:12])


@pytest.fixture(scope="session")
def idl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The IDL of the indexed component Test, which has fields of all types."""
    (path,) = write(load_xml(XML, ["Test"]), "test", tmp_path_factory.mktemp("idl"))
    return path


@pytest.fixture
def peer(idl: Path) -> Iterator[Callable[[], Peer]]:
    """Start another process on the bus."""
    peers: list[Peer] = []

    def start() -> Peer:
        peers.append(Peer(idl))
        return peers[-1]

    yield start
    for each in peers:
        each.close()
