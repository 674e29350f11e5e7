"""What RabbitMQ's rejections of requests mean, and what to do about them."""

from __future__ import annotations

import pika

from ccarchiver_bridge.amqp.errors import AmqpError
from ccarchiver_core.amqp.errors import explain
from ccarchiver_core.amqp.topology import EXCHANGE, EXCHANGE_TYPE

PRECONDITION_FAILED, NOT_FOUND, ACCESS_REFUSED = 406, 404, 403
"""AMQP reply codes to a declaration."""

NODE_DOWN = "home node"
"""RabbitMQ answers NOT_FOUND with these words if the node of an existing queue is down.

Its whole text: "home node '…' of durable queue '…' in vhost '…' is down or inaccessible".
"""

BLOCKED_REMEDY = (
    "on the broker's host: rabbitmq-diagnostics alarms; free memory or disk space there, or raise "
    "vm_memory_high_watermark or lower disk_free_limit in rabbitmq.conf"
)
"""What an operator can do about RabbitMQ's resource alarms, which are the cause of a block."""


def caused_by(error: BaseException) -> AmqpError:
    """Return an error with the cause that pika gives, for a future, which cannot raise from it."""
    failure = AmqpError(explain(error))
    failure.__cause__ = error
    return failure


def is_missing(error: BaseException | None) -> bool:
    """Return whether RabbitMQ closed a channel because a queue does not exist."""
    return (
        isinstance(error, pika.exceptions.ChannelClosedByBroker)
        and error.reply_code == NOT_FOUND
        and NODE_DOWN not in error.reply_text
    )


def of_queue(queue: str, error: AmqpError) -> AmqpError:
    """Return the error of a queue's declaration with its name and the remedy.

    An error that is no rejection by RabbitMQ is returned unchanged.
    """
    cause = error.__cause__
    if not isinstance(cause, pika.exceptions.ChannelClosedByBroker):
        return error
    if cause.reply_code == PRECONDITION_FAILED:
        remedy = (
            f"the queue was declared with other properties: rabbitmqctl delete_queue {queue} when "
            "it is empty, and correct the program that declared it"
        )
    elif cause.reply_code == ACCESS_REFUSED:
        remedy = "rabbitmqctl list_permissions: the user needs configure, write and read"
    else:
        remedy = "on the broker's host: rabbitmqctl cluster_status"
    return _rejected(f"queue {queue} cannot be declared: {error}", remedy, cause)


def of_exchange(error: AmqpError) -> AmqpError:
    """Return the error of the exchange's declaration with its name and the remedy.

    An error that is no rejection by RabbitMQ is returned unchanged.
    """
    cause = error.__cause__
    if not isinstance(cause, pika.exceptions.ChannelClosedByBroker):
        return error
    return _rejected(
        f"it rejects the declaration of the exchange {EXCHANGE}: {error}",
        f"the exchange must be {EXCHANGE_TYPE} and durable; ccarchiver doctor",
        cause,
    )


def _rejected(text: str, remedy: str, cause: BaseException) -> AmqpError:
    failure = AmqpError(text, remedy)
    failure.__cause__ = cause
    return failure
