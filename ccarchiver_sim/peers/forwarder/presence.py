"""A Forwarder's use of Redis: registration, presence key, and check of the association key."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from ccarchiver_sim.peers.common import wire
from ccarchiver_sim.peers.forwarder import messages

if TYPE_CHECKING:
    from ccarchiver_sim.peers.common.redis_db import RedisDatabase
    from ccarchiver_sim.peers.common.runloop import RunLoop
    from ccarchiver_sim.peers.forwarder.options import Identity

FORWARDER_LIST: Final = "forwarder_list"

LIVES_FOR_S: Final = 10
"""Time to live of the presence key."""

RENEWED_EVERY_S: Final = 3
"""Interval of renewals of the presence key: it survives two failed ones."""

PRESENCE_VALUE: Final = "pong"

FIRST_CHECK_S: Final = 0.5
CHECK_INTERVAL_S: Final = 10.0
"""Times at which a paired Forwarder checks the association key: soon after ASSOCIATED, then at this
interval."""

log = logging.getLogger(__name__)


class Presence:
    """A Forwarder's reads and writes in the archiver's Redis database.

    Parameters
    ----------
    loop : `RunLoop`
        The peer's run loop.
    identity : `Identity`
        Identity of this Forwarder.
    database : `RedisDatabase`
        The archiver's database.
    """

    def __init__(self, loop: RunLoop, identity: Identity, database: RedisDatabase) -> None:
        self._loop = loop
        self._identity = identity
        self._database = database
        self._checks_ended = threading.Event()

    def register(self) -> None:
        """Add this Forwarder to the list of free ones."""
        entry = wire.encode_quoted(messages.list_entry(self._identity)).decode()
        self._database.retry_until_done(
            f"add this Forwarder to {FORWARDER_LIST}",
            lambda client: client.lpush(FORWARDER_LIST, entry),
            self._loop.stop,
        )
        log.info("added to %s at %s: %s", FORWARDER_LIST, self._database.where, entry)

    def renew_forever(self) -> None:
        """Renew the presence key until the peer ends; runs in a thread."""
        key = self._identity.presence_key
        while not self._loop.stop.is_set():
            self._database.attempt(
                f"renew {key}", lambda client: client.set(key, PRESENCE_VALUE, ex=LIVES_FOR_S)
            )
            self._loop.stop.wait(RENEWED_EVERY_S)

    def start_checks(self, association_key: str) -> None:
        """Start to check the association key, after the end of an earlier check."""
        self._checks_ended.set()
        self._checks_ended = threading.Event()
        ended = self._checks_ended
        self._loop.spawn("checks", lambda: self._check(association_key, ended))

    def _check(self, association_key: str, ended: threading.Event) -> None:
        pause = FIRST_CHECK_S
        while not self._pause(pause, ended):
            pause = CHECK_INTERVAL_S
            found = self._database.attempt(
                f"check {association_key}", lambda client: client.exists(association_key)
            )
            if found == 0:
                log.warning(
                    "the archiver's key %s is missing; this Forwarder is free again",
                    association_key,
                )
                self.register()
                return

    def _pause(self, seconds: float, ended: threading.Event) -> bool:
        """Wait some seconds; return whether the checks or the peer ended in the meantime."""
        return ended.wait(seconds) or self._loop.stop.is_set()
