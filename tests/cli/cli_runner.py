"""Runs commands as an operator types them and returns their output."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from typer.testing import CliRunner

from ccarchiver_cli.main import make_app
from ccarchiver_core import keys
from ccarchiver_core.domain.session import PairedForwarder, Pairing
from ccarchiver_core.runtime.heartbeat import Heartbeat
from ccarchiver_core.store import session
from ccarchiver_core.store.transaction import Transaction
from tests.support.ledger_builder import EPOCH, SESSION, LedgerBuilder

if TYPE_CHECKING:
    from pathlib import Path

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings

COLUMNS = 80


class Answer(NamedTuple):
    """Output and exit code of a command."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """Return the output with all whitespace runs as one space."""
        return " ".join(self.out.split())

    @property
    def err_words(self) -> str:
        """Return the errors as words with one space between them, without the frame of typer."""
        return " ".join(self.err.replace("│", " ").split())

    @property
    def json(self) -> Any:  # noqa: ANN401  whatever the command prints
        """Return the output parsed as JSON."""
        return json.loads(self.out)


class CommandRunner:
    """Runs commands, and writes the ledger and the session as the workers would."""

    def __init__(self, redis: Redis, settings: Settings, folder: Path) -> None:
        self.redis = redis
        self.settings = settings
        self.folder = folder
        self.ledger_builder = LedgerBuilder(redis, settings)

    async def run(self, *words: str, answer: str = "") -> Answer:
        """Run a command; check that its output has at most 80 columns and no colour."""
        result = await asyncio.to_thread(
            CliRunner().invoke, make_app(words[0]), list(words), input=answer
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert "\x1b" not in result.stdout
        if not {"--json", "--csv"} & set(words):
            assert [line for line in result.stdout.splitlines() if len(line) > COLUMNS] == []
        return Answer(result.exit_code, result.stdout, result.stderr)

    async def pair(self, name: str = "fwd1", *, session_id: str = SESSION) -> None:
        """Write a session with a paired Forwarder and its presence key."""
        forwarder = PairedForwarder(
            hostname=name,
            ip_address="127.0.0.1",
            consume_queue=f"{name}_consume",
            presence_key=f"{name}_association",
            since=time.time() - 7230,
        )
        transaction = Transaction()
        session.begin(transaction, session_id)
        transaction.set_fields(
            keys.SESSION,
            {"epoch": EPOCH, "pairing": Pairing.PAIRED, "forwarder": forwarder.model_dump_json()},
        )
        await self.ledger_builder.write(transaction)
        await self.redis.set(forwarder.presence_key, "pong", ex=600)

    async def write_heartbeats(self, *workers: keys.Worker, **heartbeat: float) -> None:
        """Write heartbeats of workers that outlast any test."""
        for worker in workers:
            beat = Heartbeat(
                worker=worker,
                started="2026-11-22T08:00:00.000+00:00",
                version="0.1.0",
                rss_bytes=80_000_000,
            ).model_copy(update=heartbeat)
            await self.redis.set(worker.alive, beat.model_dump_json(), ex=600)

    async def csc(self, state: int, **fields: str) -> None:
        """Write the CSC's state as the CSC does."""
        await self.ledger_builder.write(
            Transaction().set_fields(keys.CSC, {"state": state, "alive_at": time.time(), **fields})
        )
