"""An endpoint on the bus, at the level of dds and ddsutil, with the observatory's profiles."""

from __future__ import annotations

import logging
import os
import select
import sys
import time
from typing import TYPE_CHECKING, Any

import dds
import ddsutil
from cyclonedds.qos import Policy
from lsst.ts import ddsconfig
from ts_dds_cyclone import incompatibility, native
from typing_extensions import override

from ccarchiver_sim.pace import Deadline, scaled

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROFILES = {"command_": "CommandProfile", "logevent_": "EventProfile", "ackcmd": "AckcmdProfile"}
LIMIT_S = 30.0
"""Limit of every wait; it takes effect only if something is broken."""
LOOK_EVERY_S = 0.25
PUBLICATION_MATCHED = 1 << 11
"""DDS_PUBLICATION_MATCHED_STATUS in Cyclone's numbering, which the middleware does not use."""
POLL_S = 0.01
READ_STATES = [dds.DDSStateKind.NOT_READ_SAMPLE_STATE, dds.DDSStateKind.ANY_INSTANCE_STATE]


def profile_of(topic: str) -> str:
    return next(
        (name for prefix, name in PROFILES.items() if topic.startswith(prefix)), "TelemetryProfile"
    )


LOGGED: list[str] = []
"""Warnings that the stand-in has logged in this process since the newest `End` was created."""


class _Keeper(logging.Handler):
    @override
    def emit(self, record: logging.LogRecord) -> None:
        LOGGED.append(record.getMessage())


logging.getLogger("dds").addHandler(_Keeper())


class GenuineQos:
    """The policies of a profile, unchanged, as genuine programs request and offer them."""

    is_durable = False
    """The endpoint has no companion and no filter of the stand-in."""

    def __init__(self, profile: dds.Qos) -> None:
        durability = (
            Policy.Durability.Transient if profile.is_durable else Policy.Durability.Volatile
        )
        exclusive = profile.ownership.kind is dds.DDSOwnershipKind.EXCLUSIVE
        self._c_qos = native.to_c_qos(
            [
                Policy.Reliability.Reliable(profile.reliability.max_blocking_time.value),
                durability,
                Policy.History.KeepLast(profile.history.depth),
                Policy.DestinationOrder.ByReceptionTimestamp,
                Policy.Ownership.Exclusive if exclusive else Policy.Ownership.Shared,
            ]
        )

    def c_object(self, entity: object) -> Any:  # noqa: ANN401 (a C pointer)
        """Return the policies, the same for a reader and a writer."""
        del entity
        return self._c_qos


class End:
    """Creates readers and writers by the SAL name of a topic."""

    def __init__(self, idl: Path, depth: int | None = None) -> None:
        LOGGED.clear()
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
        (revname,) = [
            name for name in self.parsed.types if name.split("::")[1].rsplit("_", 1)[0] == topic
        ]
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
        self.writers[topic] = self.publisher.create_datawriter(
            made, self._qos(provider.get_writer_qos())
        )

    def reader(
        self, topic: str, query: str = "", qos_of: Callable[[dds.Qos], dds.Qos] | None = None
    ) -> None:
        made, provider = self._topic(topic)
        qos = self._qos(provider.get_reader_qos())
        reader = self.readers[topic] = self.subscriber.create_datareader(
            made, qos if qos_of is None else qos_of(qos)
        )
        condition = (
            dds.QueryCondition(reader, READ_STATES, query)
            if query
            else reader.create_readcondition(READ_STATES)
        )
        self.conditions[topic] = condition
        self.wait_set.attach(condition)

    def genuine_reader(self, topic: str) -> None:
        """Create a reader with the policies of genuine programs, whatever the settings are."""
        self.reader(topic, qos_of=GenuineQos)

    def genuine_writer(self, topic: str) -> None:
        """Create a writer with the policies of genuine programs, whatever the settings are."""
        made, provider = self._topic(topic)
        self.writers[topic] = self.publisher.create_datawriter(
            made, GenuineQos(provider.get_writer_qos())
        )

    def write(self, topic: str, values: dict[str, Any]) -> None:
        self.writers[topic].write(self.types[topic].topic_data_class(**values))

    def write_many(self, topic: str, first: int, count: int, index: int = 1) -> None:
        """Write samples with consecutive values of private_seqNum."""
        for number in range(first, first + count):
            self.write(topic, {"private_seqNum": number, "TestID": index})

    def write_on(self, topic: str) -> int:
        """Write samples until a line arrives on standard input; return their number."""
        count = 0
        while not select.select([sys.stdin], [], [], 0)[0]:
            self.write_many(topic, count, 100)
            count += 100
        return count

    def warnings(self) -> list[str]:
        """Check for peers that do not match, and return the warnings logged until now."""
        incompatibility.check(now=True)
        return list(LOGGED)

    def is_open(self) -> bool:
        return bool(self.participant.is_open)

    def settle(self, topic: str) -> bool:
        return bool(self.readers[topic].wait_for_historical_data(dds.DDSDuration(scaled(LIMIT_S))))

    def take(self, topic: str, n: int = 10_000) -> list[dict[str, Any]]:
        taken = self.readers[topic].take_cond(self.conditions[topic], n)
        return [sample.get_vars() for sample, _ in taken]

    def numbers(self, topic: str, n: int = 10_000) -> list[int]:
        """Take samples without waiting and return their private_seqNum."""
        return [sample["private_seqNum"] for sample in self.take(topic, n)]

    def collect(self, topic: str, count: int, limit_s: float = LIMIT_S) -> list[int]:
        """Wait as salobj does for a number of samples or the limit; return their private_seqNum."""
        found: list[int] = []
        deadline = Deadline(limit_s)
        while len(found) < count and (left := deadline.left_s()) > 0:
            if self.wait_set.wait(dds.DDSDuration(min(left, LOOK_EVERY_S))):
                found += self.numbers(topic)
        return found

    def matched(self, topic: str) -> bool:
        """Wait until a peer reads this writer's topic, which only the matched status shows."""
        return self._changes(self.writers[topic], PUBLICATION_MATCHED)

    def match_changes(self, topic: str) -> bool:
        """Wait until a writer was found or lost since the last call."""
        return self._changes(self.readers[topic], native.SUBSCRIPTION_MATCHED)

    def has_match_changed(self, topic: str) -> bool:
        """Return whether a writer was found or lost since the last call."""
        return bool(native.take_status(self.readers[topic].handle, native.SUBSCRIPTION_MATCHED)[1])

    @staticmethod
    def _changes(entity: Any, status: int) -> bool:  # noqa: ANN401 (dds is untyped for us)
        deadline = Deadline(LIMIT_S)
        while not deadline.has_passed():
            if native.take_status(entity.handle, status)[1]:
                return True
            time.sleep(POLL_S)
        return False

    def close(self) -> None:
        self.participant.close()
