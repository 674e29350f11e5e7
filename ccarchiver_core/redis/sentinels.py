"""The Sentinels of a site: which server is the master at present."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from redis import exceptions
from redis.asyncio.sentinel import MasterNotFoundError

from ccarchiver_core.redis.errors import UNAVAILABLE_ERRORS, describe
from ccarchiver_core.redis.replies import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ccarchiver_core.redis.timeout_redis import TimeoutRedis

ANSWER_GRACE = 0.5
"""Seconds to wait for the other Sentinels after the first one has named a master.

A Sentinel whose host is down, often the host of the dead master, must not delay the connection to
the new one.
"""

Address = tuple[str, int]


class FailoverRunningError(MasterNotFoundError):
    """The Sentinels are replacing the master: the old one must not be used any more."""


class Answer(NamedTuple):
    """What one Sentinel knows."""

    epoch: int
    """Number of the failover that made this server the master. The highest one is the newest."""
    is_failing_over: bool
    """Whether this Sentinel is replacing that master, and has promoted no replica yet."""
    address: Address


class Sentinels:
    """The Sentinels of a site.

    Parameters
    ----------
    members : sequence of `TimeoutRedis`
        A client for each Sentinel.
    service_name : `str`
        Their name for the master.
    """

    def __init__(self, members: Sequence[TimeoutRedis], service_name: str) -> None:
        self.members = members
        self._service_name = service_name
        self._epoch = 0

    async def find_master(self) -> Address:
        """Return the address of the master; all Sentinels are queried at once.

        The answer with the highest epoch counts. An answer that is older than one of before counts
        only if more than half of the Sentinels give it: a Sentinel that was away may still know the
        old master.

        Raises
        ------
        FailoverRunningError
            If the Sentinels are replacing the master.
        redis.asyncio.sentinel.MasterNotFoundError
            If no Sentinel names a master. Callers wait in both cases, as for an unavailable Redis.
        """
        while True:
            epoch = self._epoch
            answers, problems = await self._ask_all()
            if not answers:
                raise MasterNotFoundError(f"no Sentinel names the master: {'; '.join(problems)}")
            newest = max(answers)
            if not epoch < self._epoch > newest.epoch:
                break
            # A query that was made at the same time knows a newer master.
        if newest.epoch < self._epoch and 2 * len(answers) <= len(self.members):
            raise MasterNotFoundError("the Sentinels that answer know only a former master")
        self._epoch = newest.epoch
        if newest.is_failing_over:
            host, port = newest.address
            raise FailoverRunningError(f"the Sentinels are replacing the master {host}:{port}")
        return newest.address

    async def aclose(self) -> None:
        """Close the connections to the Sentinels."""
        # Each one is closed also if the caller is cancelled while another one is being closed.
        async with contextlib.AsyncExitStack() as stack:
            for member in self.members:
                stack.push_async_callback(member.aclose)

    async def _ask_all(self) -> tuple[list[Answer], list[str]]:
        """Return the answers, and the problems of the Sentinels that gave none."""
        asking = [asyncio.ensure_future(self._ask(member)) for member in self.members]
        pending, answered = set(asking), False
        try:
            while pending:
                done, pending = await asyncio.wait(
                    pending,
                    timeout=ANSWER_GRACE if answered else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not done:
                    break
                answered = answered or any(isinstance(ask.result(), Answer) for ask in done)
        finally:
            for ask in pending:
                ask.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        results = [ask.result() for ask in asking if not ask.cancelled()]
        return (
            [result for result in results if isinstance(result, Answer)],
            [result for result in results if isinstance(result, str)],
        )

    async def _ask(self, member: TimeoutRedis) -> Answer | str:
        """Return the answer of one Sentinel, or why it gave none."""
        address = "{host}:{port}".format(**member.connection_pool.connection_kwargs)
        try:
            masters = cast("dict[str, dict[str, Any]]", await member.sentinel_masters())
            state = masters.get(self._service_name)
            if state is None:
                return f"{address} knows no master {self._service_name}"
            master = str(state["ip"]), int(state["port"])
            if "failover_in_progress" in state["flags"]:
                # It still lists the old master, until all replicas follow the promoted one.
                found = await member.sentinel_get_master_addr_by_name(self._service_name)
                host, port = cast("tuple[bytes, int]", found)
                promoted = text(host), port
                return Answer(int(state["config-epoch"]), promoted == master, promoted)
        except UNAVAILABLE_ERRORS as error:
            return f"{address} {describe(error)}"
        except exceptions.ResponseError as error:
            return f"{address} is no Sentinel, or rejects the query: {error}"
        if not state["is_master"] or state["is_sdown"] or state["is_odown"]:
            return f"{address} reports that the master {self._service_name} is down"
        return Answer(int(state["config-epoch"]), False, master)  # noqa: FBT003  a tuple's field
