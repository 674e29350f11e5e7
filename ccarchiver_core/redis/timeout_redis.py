"""A Redis client with a time limit for every command."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from redis import exceptions
from redis.asyncio import Redis
from typing_extensions import override

if TYPE_CHECKING:
    from redis.typing import EncodableT


COMMAND_TIMEOUT = 5.0
"""Seconds that a Redis command may take.

On loopback Redis replies within milliseconds; an fsync on a slow disk takes a second or two.
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

    @override
    async def execute_command(self, *args: EncodableT, **options: Any) -> Any:
        try:
            async with asyncio.timeout(self.timeout):
                # redis-py has no types for this method
                return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except TimeoutError as error:
            raise exceptions.TimeoutError(
                f"no answer to {args[0]!r} in {self.timeout:g} s"
            ) from error
