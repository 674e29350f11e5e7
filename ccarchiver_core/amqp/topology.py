"""The names in RabbitMQ that the wire contract fixes; the queues are settings."""

from __future__ import annotations

EXCHANGE = "message"
"""The exchange to which the archiver, the Controller and the OODS publish; it is durable."""

EXCHANGE_TYPE = "direct"
