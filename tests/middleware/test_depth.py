"""Profiles, policies, and depths that an application sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dds
import pytest
from lsst.ts import ddsconfig
from ts_dds_cyclone.cyclone_qos import EntityKind, cyclone_policies

from tests.middleware.end import End

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.middleware.process import Peer

EVENT = "logevent_scalars"
BURST = 5000


def provider(profile: str) -> dds.QosProvider:
    return dds.QosProvider(ddsconfig.get_qos_path().as_uri(), profile)


@pytest.mark.parametrize(
    ("profile", "durable", "ownership"),
    [
        ("EventProfile", True, dds.DDSOwnershipKind.SHARED),
        ("TelemetryProfile", False, dds.DDSOwnershipKind.SHARED),
        ("CommandProfile", False, dds.DDSOwnershipKind.SHARED),
        ("AckcmdProfile", False, dds.DDSOwnershipKind.EXCLUSIVE),
    ],
)
def test_qos_profiles_match_the_wire_contract(
    profile: str,
    durable: bool,  # noqa: FBT001 (a test parameter)
    ownership: dds.DDSOwnershipKind,
) -> None:
    source = provider(profile)
    for qos in (source.get_topic_qos(), source.get_reader_qos(), source.get_writer_qos()):
        assert qos.is_durable is durable
        assert qos.ownership.kind is ownership
        assert qos.history == dds.HistoryQosPolicy(dds.DDSHistoryKind.KEEP_LAST, 100)
        assert qos.reliability.kind is dds.DDSReliabilityKind.RELIABLE
        assert qos.reliability.max_blocking_time == dds.DDSDuration(0.1)
        assert qos.destination_order.kind is dds.DDSDestinationOrderKind.BY_RECEPTION_TIMESTAMP
    assert source.get_topic_qos().durability_service.history_depth == 100


def test_durable_topics_keep_history_for_late_joiners() -> None:
    """Check durable topics: without the depth of DurabilityService, Cyclone keeps one sample."""
    qos = provider("EventProfile").get_topic_qos()
    shown = str(cyclone_policies(qos, EntityKind.TOPIC, exclusive=False, mixed=False))
    assert "DurabilityService" in shown
    assert "TransientLocal" in shown
    assert "Ownership.Shared" in shown
    assert "Ownership.Exclusive" in str(
        cyclone_policies(qos, EntityKind.READER, exclusive=True, mixed=False)
    )


def test_qos_policies_can_be_changed() -> None:
    qos = provider("EventProfile").get_reader_qos()
    before = qos.c_object(EntityKind.READER)
    assert qos.c_object(EntityKind.READER) is before
    qos.set_policies([dds.HistoryQosPolicy(dds.DDSHistoryKind.KEEP_LAST, 10_000)])
    assert qos.history.depth == 10_000
    changed = qos.c_object(EntityKind.READER)
    assert changed is not before
    qos.history.depth = 20_000
    assert qos.c_object(EntityKind.READER) is not changed
    qos.history.depth = 0
    with pytest.raises(dds.DDSException, match="at least 1"):
        qos.c_object(EntityKind.READER)
    with pytest.raises(dds.DDSException, match="Unknown quality of service policy"):
        qos.set_policies([object()])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Cannot read"),
        ("<dds", "Cannot read"),
        ("<dds xmlns='http://www.omg.org/dds/'/>", "no quality of service profile 'P'"),
        ("<history><kind>KEEP_SOME_HISTORY_QOS</kind></history>", "KEEP_ALL_HISTORY_QOS"),
        ("<history><depth>many</depth></history>", "not a whole number"),
    ],
)
def test_bad_profile_is_rejected(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "QoS.xml"
    if content is not None:
        if content.startswith("<history"):
            content = (
                "<dds xmlns='http://www.omg.org/dds/'><qos_profile name='P'><datareader_qos>"
                f"{content}</datareader_qos></qos_profile></dds>"
            )
        path.write_text(content)
    with pytest.raises(dds.DDSException, match=message):
        dds.QosProvider(path.as_uri(), "P").get_reader_qos()


@pytest.mark.processes
def test_deeper_reader_loses_no_sample_during_a_stall(
    idl: Path, peer: Callable[[int], Peer]
) -> None:
    writer, end = peer(10_000), End(idl, depth=10_000)
    end.reader(EVENT)
    assert end.settle(EVENT)
    writer.ask("writer", EVENT)
    assert writer.ask("matched", EVENT)
    writer.ask("write_many", EVENT, 0, BURST)  # the reader does not read during this
    assert end.collect(EVENT, BURST) == list(range(BURST))
    end.close()
