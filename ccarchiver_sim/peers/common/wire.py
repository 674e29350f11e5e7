"""Message bodies: one YAML mapping each, in the two styles of the peers."""

from __future__ import annotations

from typing import Final, TypeAlias

import yaml

Message: TypeAlias = dict[str, object]
"""A decoded message body."""

MAX_BODY_BYTES: Final = 1_000_000
"""Longer bodies are rejected: real ones have a few hundred bytes, and parsing YAML of many
megabytes takes minutes."""

UNFOLDED: Final = 1_000_000
"""A line width that no body reaches, so that the YAML writer never folds a long text."""


class WireError(ValueError):
    """A malformed message; the text names the reason."""


def decode(body: bytes) -> Message:
    """Return the fields of a message body of either style.

    Raises
    ------
    WireError
        If the body is too long, is not YAML, is not a mapping, or has a key that is not a text.
    """
    if len(body) > MAX_BODY_BYTES:
        raise WireError(
            f"the body has {len(body)} bytes, more than the {MAX_BODY_BYTES} any real message has"
        )
    try:
        value = yaml.load(body, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # PyYAML raises ValueError for invalid bytes or dates.
        raise WireError(f"the body is not YAML: {str(error).replace(chr(10), ' ')}") from error
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise WireError(f"the body is not a mapping of named fields but {type(value).__name__}")
    return value


def encode_block(message: Message) -> bytes:
    """Return a message as Python peers write it: block style, real numbers."""
    text: str = yaml.dump(
        message, Dumper=yaml.CSafeDumper, default_flow_style=False, width=UNFOLDED
    )
    return text.encode()


def encode_quoted(message: Message) -> bytes:
    """Return a message as the Forwarder writes it: flow style, every scalar in double quotes.

    Numbers therefore become texts.
    """
    text: str = yaml.dump(
        _as_texts(message),
        Dumper=yaml.CSafeDumper,
        default_flow_style=True,
        default_style='"',
        width=UNFOLDED,
        sort_keys=False,
        allow_unicode=True,
    )
    return text.strip().encode()


def _as_texts(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _as_texts(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_texts(item) for item in value]
    return str(value)


def text(message: Message, key: str) -> str:
    """Return a field as text, as a peer that reads every scalar as text does.

    Raises
    ------
    WireError
        If the field is missing or is not a scalar.
    """
    value = message.get(key)
    if value is None or isinstance(value, dict | list):
        message_type = message.get("MSG_TYPE", "a message without MSG_TYPE")
        problem = "is missing" if value is None else "is not a single value"
        raise WireError(f"{message_type}: field {key} {problem}")
    return str(value)


def optional_text(message: Message, key: str) -> str:
    """Return a field as text, or an empty text if it is missing."""
    return "" if message.get(key) is None else text(message, key)
