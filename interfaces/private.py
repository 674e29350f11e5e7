"""Fields that SAL adds to topics, and the topic of acknowledgements."""

from __future__ import annotations

from interfaces.model import Component, Field, Topic, TopicKind

__all__ = ["acknowledgement_topic", "complete_fields", "index_field"]

_PRIVATE = (
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
_PRIORITY = Field("priority", "long", "Importance of the event; not used.")
_NO_FIELDS = Field("value", "boolean", "Filler: a command without fields must have one.")
_ACKNOWLEDGEMENT = (
    Field("ack", "long", "How the command stands: a CMD_ constant of SAL."),
    Field("error", "long", "Error number; 0 if all is well."),
    Field("result", "string", "What happened, in words.", max_length=256),
    Field("identity", "string", "Who sent the command."),
    Field("origin", "long", "Process number of who sent the command."),
    Field("cmdtype", "long", "Number of the command in the component's list of commands."),
    Field("timeout", "double", "How much longer the command may take.", "second"),
)


def index_field(component: str) -> Field:
    """Return the key of an indexed component's topics."""
    return Field(f"{component}ID", "long", "Index of the component's instance.")


def acknowledgement_topic() -> Topic:
    """Return the topic that every component with commands has."""
    return Topic("ackcmd", TopicKind.TELEMETRY, "Acknowledgement of a command.", _ACKNOWLEDGEMENT)


def complete_fields(
    component: Component, topic: Topic
) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """Return a topic's leading private fields and all the others, as they stand in the IDL."""
    private = ((index_field(component.name),) if component.indexed else ()) + _PRIVATE
    public = topic.fields
    if topic.kind is TopicKind.COMMAND and not public:
        public = (_NO_FIELDS,)
    if topic.kind is TopicKind.EVENT and all(field.name != _PRIORITY.name for field in public):
        public += (_PRIORITY,)
    return private, public
