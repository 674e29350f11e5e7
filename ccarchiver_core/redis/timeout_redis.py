"""A Redis client with a time limit for every command."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

from redis import exceptions
from redis.asyncio import Redis
from typing_extensions import override

if TYPE_CHECKING:
    from redis.typing import EncodableT


COMMAND_TIMEOUT = 5.0
"""Seconds that a Redis command may take.

On loopback Redis replies within milliseconds; an fsync on a slow disk takes a second or two.
"""

CONNECT_TIMEOUT = 4.0
"""Seconds that a connection may take, with its TLS handshake.

It is shorter than the time limit of a command. A command that reaches its own limit therefore had a
connection.
"""


class NoAnswerError(exceptions.TimeoutError):
    """Redis did not reply to a command in time.

    The text continues a sentence that begins "Redis at ADDRESS".
    """


class TimeoutRedis(Redis):
    """A client with its own time limit for every command.

    Notes
    -----
    redis-py implements ``socket_timeout`` with `asyncio.wait_for`. In Python 3.11, that function
    swallows a cancellation that arrives at the moment when sending completes
    (https://github.com/python/cpython/issues/86296). Measured, one in eight cancelled tasks then
    never ended. `asyncio.timeout` does not have this defect.
    """

    timeout: float = COMMAND_TIMEOUT

    no_answer: ClassVar[str] = "accepted the connection but did not answer"
    """What is known of a Redis that does not reply in time."""

    @override
    async def execute_command(self, *args: EncodableT, **options: Any) -> Any:
        try:
            async with asyncio.timeout(self.timeout):
                # redis-py has no types for this method
                return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except TimeoutError as error:
            raise NoAnswerError(f"{self.no_answer} within {self.timeout:.2g} s") from error
