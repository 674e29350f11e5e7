"""Participants, topics, publishers, subscribers and writers."""

from __future__ import annotations

import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from ts_dds_cyclone import incompatibility, native
from ts_dds_cyclone.cyclone_qos import EntityKind
from ts_dds_cyclone.errors import PRECONDITION_NOT_MET, DDSException, checked
from ts_dds_cyclone.settings import cyclone_configuration, domain_id, is_mixed_bus
from ts_dds_cyclone.shutdown import call_at_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from ts_dds_cyclone.qos import Qos
    from ts_dds_cyclone.reader import DataReader
    from ts_dds_cyclone.topic_class import TopicDataClass, TypeSupport

__all__ = ["DataWriter", "DomainParticipant", "Entity", "Publisher", "Subscriber", "Topic"]


def _c_qos(qos: Qos | None, kind: EntityKind) -> Any:  # noqa: ANN401 (a C pointer or None)
    return None if qos is None else qos.c_object(kind)


def _partitions(qos: Qos | None) -> tuple[str, ...]:
    """Return the partitions of a publisher or subscriber; the default one has an empty name."""
    return tuple(qos.partition.ps if qos is not None else ()) or ("",)


class Entity:
    """Object for which Cyclone has a handle. Closing it twice is harmless."""

    _handle: int | None = None

    @property
    def handle(self) -> int:
        """Cyclone's handle.

        Raises
        ------
        DDSException
            If the entity is closed.
        """
        handle = self._handle
        if handle is None:
            message = f"This {type(self).__name__} is closed"
            raise DDSException(message)
        return handle

    def require_open(self) -> None:
        """Raise DDSException if the entity is closed."""
        self.handle  # noqa: B018 (the property raises)

    @property
    def is_open(self) -> bool:
        """Whether the entity is not closed yet."""
        return self._handle is not None

    def close(self) -> None:
        """Delete the entity and its children."""
        handle, self._handle = self._handle, None
        if handle is not None:
            native.delete(handle)

    def forget(self) -> None:
        """Record that the parent was deleted, and this entity with it."""
        self._handle = None

    def __del__(self, _is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        """Delete an unreferenced entity: salobj does not close its wait sets and conditions.

        At the end of the interpreter, the modules that this needs may be gone. All participants are
        closed by then.
        """
        if not _is_finalizing():
            self.close()


class _Domains:
    """Cyclone's domains with our configuration; a domain exists while it has participants."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, tuple[int, int]] = {}  # domain: (its handle, number of participants)

    def enter(self, domain: int) -> None:
        configuration = cyclone_configuration()
        with self._lock:
            handle, users = self._open.get(domain, (0, 0))
            if not users and configuration is not None:
                handle = native.create_domain(domain, configuration.encode())
                if handle == PRECONDITION_NOT_MET:
                    handle = 0  # other code of this process has created it with its configuration
                checked(handle, f"start DDS domain {domain} with configuration {configuration}")
            self._open[domain] = handle, users + 1

    def leave(self, domain: int) -> None:
        with self._lock:
            handle, users = self._open[domain]
            if users > 1:
                self._open[domain] = handle, users - 1
                return
            del self._open[domain]
            if handle:
                native.delete(handle)


_domains = _Domains()
_participants: weakref.WeakSet[DomainParticipant] = weakref.WeakSet()


class DomainParticipant(Entity):
    """Membership of a DDS domain.

    Parameters
    ----------
    did
        Domain; LSST_DDS_DOMAIN_ID if None.
    qos, listener
        Ignored; they are part of OpenSplice's API.
    """

    def __init__(
        self, did: int | None = None, qos: Qos | None = None, listener: None = None
    ) -> None:
        del qos, listener
        self._domain = domain_id() if did is None else did
        self.created = time.monotonic()
        self._children: weakref.WeakSet[Entity] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._topics: dict[str, tuple[int, TypeSupport]] = {}
        _domains.enter(self._domain)
        try:
            handle = native.create_participant(self._domain, None, None)
            self._handle = checked(handle, f"join DDS domain {self._domain}")
        except DDSException:
            _domains.leave(self._domain)
            raise
        _participants.add(self)

    def adopt(self, child: Entity) -> None:
        """Record a child, which is deleted when this participant closes."""
        self._children.add(child)

    def topic_handle(self, name: str, support: TypeSupport, qos: Qos | None) -> int:
        """Return the handle of a topic; all Topic objects of a name share it."""
        with self._lock:
            known = self._topics.get(name)
            if known is None:
                c_qos = _c_qos(qos, EntityKind.TOPIC)
                result = native.create_topic(self.handle, name, support.cyclone_type(), c_qos)
                known = self._topics[name] = checked(result, f"create topic {name}"), support
            elif known[1] is not support:
                message = f"Topic {name} exists already with another type"
                raise DDSException(message)
            return known[0]

    def create_publisher(self, qos: Qos | None = None, listener: None = None) -> Publisher:
        """Return a new publisher."""
        return Publisher(self, qos, listener)

    def create_subscriber(self, qos: Qos | None = None, listener: None = None) -> Subscriber:
        """Return a new subscriber."""
        return Subscriber(self, qos, listener)

    @override
    def close(self) -> None:
        """Leave the domain and delete all children."""
        if not self.is_open:
            return
        for child in list(self._children):
            child.forget()
        super().close()
        _domains.leave(self._domain)


class Topic:
    """A name with a type. It is not an entity: it is deleted with its participant."""

    def __init__(
        self,
        participant: DomainParticipant,
        name: str,
        support: TypeSupport,
        qos: Qos | None = None,
        listener: None = None,
    ) -> None:
        del listener
        self.name, self.support, self.participant = name, support, participant
        self.handle = participant.topic_handle(name, support, qos)

    def close(self) -> None:
        """Do nothing: other readers and writers may use the same topic."""


class Publisher(Entity):
    """Factory of writers in some partitions."""

    def __init__(
        self, participant: DomainParticipant, qos: Qos | None = None, listener: None = None
    ) -> None:
        del listener
        self.participant = participant
        c_qos = _c_qos(qos, EntityKind.GROUP)
        self._handle = checked(
            native.create_publisher(participant.handle, c_qos, None), "create a publisher"
        )
        self.partitions = _partitions(qos)
        participant.adopt(self)

    def create_datawriter(
        self, topic: Topic, qos: Qos | None = None, listener: None = None
    ) -> DataWriter:
        """Return a new writer."""
        return DataWriter(self, topic, qos, listener)


class Subscriber(Entity):
    """Factory of readers in some partitions."""

    def __init__(
        self, participant: DomainParticipant, qos: Qos | None = None, listener: None = None
    ) -> None:
        del listener
        self.participant = participant
        self.readers: weakref.WeakSet[DataReader] = weakref.WeakSet()
        c_qos = _c_qos(qos, EntityKind.GROUP)
        self._handle = checked(
            native.create_subscriber(participant.handle, c_qos, None), "create a subscriber"
        )
        self.partitions = _partitions(qos)
        participant.adopt(self)

    def create_datareader(
        self, topic: Topic, qos: Qos | None = None, listener: None = None
    ) -> DataReader:
        """Return a new reader."""
        from ts_dds_cyclone.reader import DataReader  # noqa: PLC0415 (readers need this module)

        return DataReader(self, topic, qos, listener)


class _Companion(Entity):
    """Second writer of a topic, which keeps its history for late readers of our own kind."""

    def __init__(self, publisher: Publisher, topic: Topic, qos: Qos) -> None:
        c_qos = qos.c_object(EntityKind.COMPANION)
        handle = native.create_writer(publisher.handle, topic.handle, c_qos, None)
        self._handle = checked(handle, f"create a second writer of {topic.name}")
        publisher.participant.adopt(self)


class DataWriter(Entity):
    """Writer of samples of one topic.

    On a bus with OpenSplice peers, a writer of events has a companion that keeps the history: the
    writer itself must offer TRANSIENT, for which Cyclone keeps nothing. Both write each sample with
    the same timestamp, and a reader of our own kind takes the second one for a duplicate.
    """

    def __init__(
        self, publisher: Publisher, topic: Topic, qos: Qos | None = None, listener: None = None
    ) -> None:
        del listener
        self._publisher = publisher  # a child keeps its parent alive
        self._topic = topic
        self._support = topic.support
        c_qos = _c_qos(qos, EntityKind.WRITER)
        handle = native.create_writer(publisher.handle, topic.handle, c_qos, None)
        self._handle = checked(handle, f"create a writer of {topic.name}")
        publisher.participant.adopt(self)
        self._companion: Entity | None = None
        if qos is not None and qos.is_durable and is_mixed_bus():
            self._companion = _Companion(publisher, topic, qos)
        incompatibility.watch(
            self, topic.name, publisher.participant, publisher.partitions, is_reader=False
        )

    @override
    def close(self) -> None:
        """Delete the writer and its companion."""
        super().close()
        if self._companion is not None:
            self._companion.close()

    def write(self, data: TopicDataClass) -> None:
        """Write one sample.

        Raises
        ------
        DDSException
            If the writer is closed or Cyclone cannot send.
        TypeError, IndexError, struct.error, ValueError
            If a field's value does not fit: see `TypeSupport.encode`.
        """
        if not isinstance(data, self._support.data_class):
            message = (
                f"Writing {self._topic.name}: {data!r} is not a {self._support.data_class.__name__}"
            )
            raise TypeError(message)
        sample = self._support.encode(data)
        if self._companion is None:
            result = native.write(self.handle, sample)
        else:
            now = time.time_ns()
            result = native.write_at(self.handle, sample, now)
            result = min(result, native.write_at(self._companion.handle, sample, now))
        if result < 0:
            checked(result, f"write {self._topic.name}")


def _close_all() -> None:
    for participant in list(_participants):
        participant.close()


# It is registered when this module is imported, so it runs after salobj's own exit functions, which
# close readers and writers.
call_at_end(_close_all)
