"""Check of the kind and the role of a Redis server, at each new connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis import exceptions
from redis.asyncio import Connection
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence

_STATE_CHANGED = "instance state changed"
"""Part of the text by which Redis ends a blocking command when it becomes a replica."""

_KINDS = {
    "cluster": (
        "runs in cluster mode, which the archiver does not support; "
        "use a Redis with `cluster-enabled no`"
    ),
    "sentinel": "is a Sentinel; its address belongs in REDIS_SENTINELS",
}
"""Texts about the kinds of server that the archiver cannot use, by HELLO's mode.

They continue a sentence that begins "Redis at ADDRESS".
"""


class WrongServerError(exceptions.ResponseError):
    """The server is of a kind that the archiver cannot use, so that waiting does not help.

    The text continues a sentence that begins "Redis at ADDRESS".
    """


class CheckedConnection(Connection):
    """A connection that checks the kind of the server when it has connected.

    It also ends when its server becomes a replica. Therefore, if REDIS_HOST is an address that
    moves to the new master, the next command reaches that one.

    Notes
    -----
    HELLO needs no permission (the flag ``no_auth`` of the command), unlike ROLE and INFO.
    """

    @override
    async def on_connect_check_health(self, check_health: bool = True) -> None:
        try:
            await super().on_connect_check_health(check_health)
        except exceptions.ResponseError:
            await self._check_server()  # other kinds of server reject SELECT with an obscure text
            raise
        await self._check_server()

    @override
    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except exceptions.ReadOnlyError:
            await self.disconnect(nowait=True)
            raise
        except exceptions.ResponseError as error:
            if str(error).startswith("UNBLOCKED") and _STATE_CHANGED in str(error):
                await self.disconnect(nowait=True)
                raise exceptions.ConnectionError("the server has become a replica") from error
            raise

    async def _check_server(self) -> None:
        """Check HELLO's reply.

        Raises
        ------
        WrongServerError
            If the server is of a kind that the archiver cannot use.
        """
        await self.send_command("HELLO", check_health=False)
        try:
            raw: Sequence[object] = await super().read_response()
        except (exceptions.ResponseError, exceptions.AuthenticationError):
            return  # the next command reports it: a missing login, or a very old server
        words = [word.decode() if isinstance(word, bytes) else str(word) for word in raw]
        self.check_hello(dict(zip(words[::2], words[1::2], strict=False)))

    def check_hello(self, hello: dict[str, str]) -> None:
        """Check the fields of HELLO's reply.

        Raises
        ------
        WrongServerError
            If the server is of a kind that the archiver cannot use.
        """
        if (text := _KINDS.get(hello.get("mode", ""))) is not None:
            raise WrongServerError(text)
