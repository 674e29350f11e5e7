"""Fields that SAL adds to topics, and the topic of acknowledgements."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from interfaces.model import Component, Field, Topic, TopicKind

if TYPE_CHECKING:
    from interfaces.release import Release

__all__ = [
    "ACKNOWLEDGEMENT",
    "PRIVATE",
    "acknowledgement_topic",
    "complete_fields",
    "public_fields",
]

ACKNOWLEDGEMENT = "ackcmd"
"""Name of the topic of acknowledgements."""

PRIVATE = (
    Field("private_revCode", "string", "Revision code of the topic's definition.", max_length=8),
    Field("private_sndStamp", "double", "When the sender wrote the sample, TAI.", "second"),
    Field("private_rcvStamp", "double", "When the receiver took the sample, TAI.", "second"),
    Field("private_seqNum", "long", "Number of the sample in its sender's sequence."),
    Field(
        "private_identity",
        "string",
        "Who sent: component with index, or user@host.",
        max_length=128,
    ),
    Field("private_origin", "long", "Process number of the sender."),
)
"""Fields at the beginning of every topic."""

_PRIORITY = Field("priority", "long", "Importance of the event; not used.")
_RESULT = "result"
_ACKNOWLEDGEMENT = (
    Field("ack", "long", "How the command stands: a CMD_ constant of SAL."),
    Field("error", "long", "Error number; 0 if all is well."),
    Field(_RESULT, "string", "What happened, in words.", max_length=256),
    Field("identity", "string", "Who sent the command."),
    Field("origin", "long", "Process number of who sent the command."),
    Field("cmdtype", "long", "Number of the command in the component's list of commands."),
    Field("timeout", "double", "How much longer the command may take.", "second"),
)


def _index_field(component: str, release: Release) -> Field:
    return Field(release.index_name(component), "long", "Index of the component's instance.")


def acknowledgement_topic() -> Topic:
    """Return the topic that every component with commands has."""
    return Topic(
        ACKNOWLEDGEMENT, TopicKind.TELEMETRY, "Acknowledgement of a command.", _ACKNOWLEDGEMENT
    )


def public_fields(topic: Topic, release: Release) -> tuple[Field, ...]:
    """Return the fields of a topic after the private ones, as the suffix of its name counts them.

    The suffix of the acknowledgements is the same in all releases.
    """
    is_event = topic.kind is TopicKind.EVENT
    if is_event and release.has_priority and all(f.name != _PRIORITY.name for f in topic.fields):
        return (*topic.fields, _PRIORITY)
    return topic.fields


def complete_fields(
    component: Component, topic: Topic, release: Release
) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """Return a topic's leading private fields and all the others, as they stand in the IDL.

    The index of an indexed component comes first, but after the private fields in the
    acknowledgements.
    """
    public = public_fields(topic, release)
    index = (_index_field(component.name, release),) if component.indexed else ()
    if topic.sal_name != ACKNOWLEDGEMENT:
        return index + PRIVATE, public
    result = [
        replace(field, max_length=release.result_length) if field.name == _RESULT else field
        for field in public
    ]
    return PRIVATE, (*index, *result)
