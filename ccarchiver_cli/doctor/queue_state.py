"""What RabbitMQ reports of one queue or exchange."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Queue:
    """A queue or an exchange in RabbitMQ."""

    name: str
    exists: bool
    trouble: str = ""
    """RabbitMQ's text about wrong properties; empty if the properties are right."""
    messages: int = 0
    consumers: int = 0
