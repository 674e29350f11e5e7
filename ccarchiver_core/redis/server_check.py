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


_PROTECTED_MODE_CODE = "DENIED"
"""Code of the text by which a Redis in protected mode rejects a connection."""

_TOO_MANY = "max number of clients"
"""Beginning of the text by which a Redis rejects a connection because it has too many."""

_PROTECTED_MODE_REMEDY = (
    "give the Redis user `default` a password, or, if only trusted hosts can reach Redis, set "
    "protected-mode no in redis.conf"
)

REJECTED = "rejected the connection"
"""Beginning of the text about a rejected connection."""

_TOO_MANY_REMEDY = (
    "end other clients of this Redis, or raise maxclients in redis.conf and restart Redis; "
    "redis-cli cannot connect meanwhile either"
)


class WrongServerError(exceptions.ResponseError):
    """The server is of a kind that the archiver cannot use, so that waiting does not help.

    The text continues a sentence that begins "Redis at ADDRESS".
    """


class RejectedConnectionError(exceptions.ConnectionError):
    """The server has rejected a new connection. The archiver waits: a person can correct this.

    The text has the server's reason and the remedy. It continues a sentence that begins "Redis at
    ADDRESS".
    """


class CheckedConnection(Connection):
    """A connection that checks the kind of the server when it has connected.

    It also ends when its server becomes a replica. Therefore, if REDIS_HOST is an address that
    moves to the new master, the next command reaches that one.

    Notes
    -----
    HELLO needs no permission (the flag ``no_auth`` of the command), unlike ROLE and INFO.

    A server that rejects a connection sends a text and closes the connection at once. The second
    command that is sent to it fails, and asyncio then discards the text without reading it.
    Therefore the first command is sent alone, and its reply is read before the second one is sent:
    AUTH if there is a login, otherwise HELLO.
    """

    @override
    async def on_connect_check_health(self, check_health: bool = True) -> None:
        if not (self.credential_provider or self.username or self.password):
            self._parser.on_connect(self)  # type: ignore[no-untyped-call]  # redis-py has no type
            await self._check_server()
            await super().on_connect_check_health(check_health)
            return
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
        except (exceptions.ResponseError, exceptions.ConnectionError) as error:
            if (text := _rejection(error)) is not None:
                await self.disconnect(nowait=True)
                raise RejectedConnectionError(text) from error
            if not isinstance(error, exceptions.ResponseError):
                raise
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
            raw: Sequence[object] = await self.read_response()
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


def _rejection(error: BaseException) -> str | None:
    """Return why the server rejected the connection, with the remedy; None for another error."""
    text = " ".join(str(error).split())
    code, _, rest = text.partition(" ")
    if text.startswith(_TOO_MANY):
        reason, remedy = text, _TOO_MANY_REMEDY
    elif code == _PROTECTED_MODE_CODE:
        # The server's text goes on with a page about its settings.
        reason, remedy = rest.partition(". ")[0], _PROTECTED_MODE_REMEDY
    else:
        return None
    return f"{REJECTED}: {reason}; {remedy}"
