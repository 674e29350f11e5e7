"""One end on the bus, at the level of dds and ddsutil, with the observatory's profiles."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import dds
import ddsutil
from lsst.ts import ddsconfig

if TYPE_CHECKING:
    from pathlib import Path

PROFILES = {"command_": "CommandProfile", "logevent_": "EventProfile", "ackcmd": "AckcmdProfile"}
HISTORY_TIMEOUT = 10.0
READ_STATES = [dds.DDSStateKind.NOT_READ_SAMPLE_STATE, dds.DDSStateKind.ANY_INSTANCE_STATE]


def profile_of(topic: str) -> str:
    return next((name for prefix, name in PROFILES.items() if topic.startswith(prefix)), "TelemetryProfile")


class End:
    """Makes readers and writers by the SAL name of a topic."""

    def __init__(self, idl: Path, depth: int | None = None) -> None:
        self.parsed = ddsutil.parse_idl_file(idl)
        self.participant = dds.DomainParticipant()
        self.depth = depth
        group = dds.Qos([dds.PartitionQosPolicy([os.environ["LSST_DDS_PARTITION_PREFIX"]])])
        self.publisher = self.participant.create_publisher(group)
        self.subscriber = self.participant.create_subscriber(group)
        self.types: dict[str, Any] = {}
        self.writers: dict[str, Any] = {}
        self.readers: dict[str, Any] = {}
        self.conditions: dict[str, Any] = {}
        self.wait_set = dds.WaitSet()

    def _topic(self, topic: str) -> tuple[Any, dds.QosProvider]:
        (revname,) = [name for name in self.parsed.types if name.split("::")[1].rsplit("_", 1)[0] == topic]
        provider = dds.QosProvider(ddsconfig.get_qos_path().as_uri(), profile_of(topic))
        made = self.types[topic] = ddsutil.make_dds_topic_class(self.parsed, revname)
        name = revname.replace("::", "_")
        return made.register_topic(self.participant, name, provider.get_topic_qos()), provider

    def _qos(self, qos: dds.Qos) -> dds.Qos:
        if self.depth is not None:
            qos.set_policies([dds.HistoryQosPolicy(dds.DDSHistoryKind.KEEP_LAST, self.depth)])
        return qos

    def writer(self, topic: str) -> None:
        made, provider = self._topic(topic)
        self.writers[topic] = self.publisher.create_datawriter(made, self._qos(provider.get_writer_qos()))

    def reader(self, topic: str, query: str = "") -> None:
        made, provider = self._topic(topic)
        reader = self.readers[topic] = self.subscriber.create_datareader(made, self._qos(provider.get_reader_qos()))
        condition = (
            dds.QueryCondition(reader, READ_STATES, query) if query else reader.create_readcondition(READ_STATES)
        )
        self.conditions[topic] = condition
        self.wait_set.attach(condition)

    def write(self, topic: str, values: dict[str, Any]) -> None:
        self.writers[topic].write(self.types[topic].topic_data_class(**values))

    def write_many(self, topic: str, first: int, count: int, index: int = 1) -> None:
        """Write samples whose private_seqNum counts."""
        for number in range(first, first + count):
            self.write(topic, {"private_seqNum": number, "TestID": index})

    def settle(self, topic: str) -> bool:
        return bool(self.readers[topic].wait_for_historical_data(dds.DDSDuration(HISTORY_TIMEOUT)))

    def take(self, topic: str, n: int = 10_000) -> list[dict[str, Any]]:
        taken = self.readers[topic].take_cond(self.conditions[topic], n)
        return [sample.get_vars() for sample, _ in taken]

    def numbers(self, topic: str, n: int = 10_000) -> list[int]:
        """Take, without waiting, and return the private_seqNum of the samples."""
        return [sample["private_seqNum"] for sample in self.take(topic, n)]

    def collect(self, topic: str, count: int, timeout: float) -> list[int]:
        """Wait, as salobj does, until so many samples came or the time is over; return their private_seqNum."""
        found: list[int] = []
        end = time.monotonic() + timeout
        while len(found) < count and (left := end - time.monotonic()) > 0:
            if self.wait_set.wait(dds.DDSDuration(left)):
                found += self.numbers(topic)
        return found

    def matched(self, topic: str, timeout: float = 10.0) -> bool:
        """Wait until a peer reads what this end writes: a sample is answered by none, so the status tells."""
        from ts_dds_cyclone import native  # noqa: PLC0415 (only here does a test look below the API)

        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if native.take_status(self.writers[topic].handle, 1 << 11)[1]:
                return True
            time.sleep(0.01)
        return False

    def close(self) -> None:
        self.participant.close()
