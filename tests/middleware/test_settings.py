"""Settings from the environment, and the resulting network (requirement 10)."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import dds
import pytest
from ts_dds_cyclone.settings import (
    Ownership,
    cyclone_configuration,
    domain_id,
    is_mixed_bus,
    ownership,
)

from tests.middleware.process import HERE, LIMIT_S, ROOT, Peer
from tests.support.namespaces import needs_namespace, run_alone

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EVENT = "logevent_scalars"


def interface() -> dict[str, str]:
    configuration = cyclone_configuration()
    assert configuration is not None
    root = ET.fromstring(configuration)  # noqa: S314 (our own)
    assert "ParticipantIndex" not in configuration, "its default allows any number of processes"
    (element,) = root.iter("NetworkInterface")
    return dict(element.attrib)


def test_loopback_with_multicast_by_default() -> None:
    assert interface() == {"name": "lo", "multicast": "true"}


@pytest.mark.parametrize(
    ("value", "attributes"),
    [
        ("lo", {"name": "lo", "multicast": "true"}),
        ("eth0", {"name": "eth0"}),
        ("127.0.0.1", {"address": "127.0.0.1", "multicast": "true"}),
        ("10.1.2.3", {"address": "10.1.2.3"}),
        ('a<b"c', {"name": 'a<b"c'}),
    ],
)
def test_interface_is_set_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, value: str, attributes: dict[str, str]
) -> None:
    monkeypatch.setenv("LSST_DDS_INTERFACE", value)
    assert interface() == attributes


def test_cyclonedds_uri_of_the_user_is_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CYCLONEDDS_URI", "<x/>")
    monkeypatch.setenv("LSST_DDS_INTERFACE", "eth0")
    assert cyclone_configuration() is None
    assert os.environ["CYCLONEDDS_URI"] == "<x/>"


def test_environment_of_child_processes_is_unchanged() -> None:
    before = dict(os.environ)
    dds.DomainParticipant().close()
    assert dict(os.environ) == before


@pytest.mark.parametrize("value", ["-1", "231", "x", "1.5"])
def test_bad_domain_number_is_rejected(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LSST_DDS_DOMAIN_ID", value)
    with pytest.raises(dds.DDSException, match="LSST_DDS_DOMAIN_ID"):
        domain_id()


def test_default_domain_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LSST_DDS_DOMAIN_ID")
    assert domain_id() == 0


def test_ownership_is_set_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ownership() is Ownership.SHARED
    monkeypatch.setenv("LSST_DDS_PEER", "OpenSplice")
    assert ownership() is Ownership.ACKCMD
    monkeypatch.setenv("LSST_DDS_OWNERSHIP", "EXCLUSIVE")
    assert ownership() is Ownership.EXCLUSIVE
    monkeypatch.setenv("LSST_DDS_OWNERSHIP", "both")
    with pytest.raises(dds.DDSException, match="'shared', 'ackcmd', 'exclusive'"):
        ownership()


def test_peers_of_the_bus_are_set_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_mixed_bus()
    monkeypatch.setenv("LSST_DDS_PEER", "cyclone")
    assert not is_mixed_bus()
    monkeypatch.setenv("LSST_DDS_PEER", "opensplice")
    assert is_mixed_bus()
    monkeypatch.setenv("LSST_DDS_PEER", "rti")
    with pytest.raises(dds.DDSException, match="'cyclone' or 'opensplice'"):
        is_mixed_bus()


def test_missing_interface_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSST_DDS_INTERFACE", "nonesuch0")
    with pytest.raises(dds.DDSException, match="nonesuch0"):
        dds.DomainParticipant()


@pytest.mark.processes
def test_domains_and_partitions_are_separate(
    idl: Path, peer: Callable[[], Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = peer()
    writer.ask("writer", EVENT)
    writer.ask("write_many", EVENT, 0, 3)
    here = peer()
    with monkeypatch.context() as patch:
        patch.setenv("LSST_DDS_PARTITION_PREFIX", "elsewhere")
        other_partition = peer()
    with monkeypatch.context() as patch:
        patch.setenv("LSST_DDS_DOMAIN_ID", "101")
        other_domain = peer()
    for each, numbers in ((here, [0, 1, 2]), (other_partition, []), (other_domain, [])):
        each.ask("reader", EVENT)
        assert each.ask("settle", EVENT)
        assert each.ask("numbers", EVENT) == numbers
    del idl


@pytest.mark.processes
@needs_namespace
def test_processes_meet_on_a_machine_with_only_loopback(idl: Path) -> None:
    """Check that two processes in their own network namespace communicate."""
    ended = run_alone(HERE / "programs" / "alone.py", [str(idl)], ROOT, LIMIT_S, os.environ)
    assert (ended.returncode, ended.stdout.split()) == (0, ["lo", "[0,", "1,", "2]"]), ended.stderr
