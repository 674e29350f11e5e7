"""The bridge and health as the CSC knows them: two mailboxes that are read, and answers that come back."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

from ccarchiver_core import keys
from ccarchiver_core.keys import Worker
from ccarchiver_core.mail import MAIL, ExposureMail, Mail, SessionChanged, SessionDown, SessionFault, SessionUp
from ccarchiver_core.redis_client import read_members, text
from ccarchiver_core.session import read_session
from ccarchiver_core.vitals import Vitals
from tests.core.place import POLL_S, end, looking_into, mail_in, post

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from ccarchiver_core.settings import Settings

OTHERS = (Worker.BRIDGE, Worker.HEALTH)


class Crew:
    """Plays the two other workers; make it with `crew_at_work`."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.refuse_with: tuple[int, str] | None = None
        """Code and report with which the next sessions cannot begin."""
        self.silent = False
        """Whether nobody answers at all."""
        self._read_from = dict.fromkeys(OTHERS, "-")

    async def work(self) -> None:
        """Answer until cancelled."""
        while True:
            for worker in OTHERS:
                await self.show_life(worker)
                for letter in await self._new_letters(worker):
                    if isinstance(letter, SessionChanged) and not self.silent:
                        await self._answer(worker, letter.session_id)
            await asyncio.sleep(POLL_S)

    async def _new_letters(self, worker: Worker) -> list[Mail]:
        """Read what has come since the last time: all of a burst again and again would take most of the processor."""
        raw = await self.redis.xrange(worker.mailbox, min=self._read_from[worker])
        letters = cast("list[tuple[bytes, dict[bytes, bytes]]]", raw)
        if letters:
            self._read_from[worker] = f"({text(letters[-1][0])}"
        return [MAIL.validate_json(fields[b"mail"]) for _, fields in letters]

    async def _answer(self, worker: Worker, session_id: str) -> None:
        current = await read_session(self.redis)
        if not current.wanted or current.id != session_id:
            await self.tell(SessionDown(session_id=session_id, worker=worker))
        elif worker is Worker.HEALTH and self.refuse_with is not None:
            code, report = self.refuse_with
            await self.tell(SessionFault(session_id=session_id, code=code, report=report))
        elif worker is Worker.HEALTH:
            await self.redis.set("ccarchiver_association", "f99", ex=600)
            await self.tell(SessionUp(session_id=session_id))

    async def tell(self, *letters: Mail) -> None:
        """Send letters to the CSC."""
        await post(self.redis, Worker.SAL, *letters)

    async def show_life(self, worker: Worker) -> None:
        """Write a worker's heartbeat."""
        vitals = Vitals.model_construct(
            worker=worker,
            pid=1,
            host="test",
            version="0",
            started="",
            beat=time.time(),
            state="",
            trouble="",
            rss_bytes=0,
            cpu_share=0,
            threads=1,
            open_files=1,
            mailbox_depth=0,
        )
        await self.redis.set(worker.alive, vitals.model_dump_json(), ex=10)

    async def exposures(self) -> list[ExposureMail]:
        """Give the events the CSC has passed on to the bridge."""
        return [mail for mail in await mail_in(self.redis, Worker.BRIDGE) if isinstance(mail, ExposureMail)]

    async def images(self) -> list[str]:
        """Give the names of all images in the ledger."""
        return await read_members(self.redis, keys.IMAGES)


@asynccontextmanager
async def crew_at_work(settings: Settings) -> AsyncIterator[Crew]:
    """Have the other two workers played for the time of a block."""
    async with looking_into(settings) as redis:
        crew = Crew(redis)
        working = asyncio.create_task(crew.work())
        try:
            yield crew
        finally:
            await end(working)
