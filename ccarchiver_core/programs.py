"""What supervisord said last of each of its programs, as our event listener wrote it down."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from ccarchiver_core import keys
from ccarchiver_core.redis_client import read_hash

if TYPE_CHECKING:
    from redis.asyncio import Redis


class ProgramState(enum.StrEnum):
    """Words of supervisord for a program that is not just starting or stopping."""

    RUNNING = "RUNNING"
    BACKOFF = "BACKOFF"
    """It ended too soon after its start, and is started again after a wait."""
    STOPPED = "STOPPED"
    """By a person, or because supervisord ends."""
    EXITED = "EXITED"
    FATAL = "FATAL"
    """supervisord has given it up."""


class Program(BaseModel):
    """The newest of one program. Every field but two has a default: versions differ during an upgrade."""

    name: str
    """With its group, as supervisorctl takes it."""
    state: ProgramState
    host: str = ""
    supervisord: str = ""
    """Which one of that host says so: its process id and start."""
    at: float = 0.0
    """When it came to this state: Unix time, UTC, seconds."""
    expected: bool = False
    """Whether it ended with an exit code that its configuration expects; only EXITED tells."""
    tries: int = 0
    """Starts in a row that failed; only BACKOFF tells."""
    pid: int = 0
    """Process that ended or runs; 0 if there was none."""

    @property
    def field(self) -> str:
        """Where it stands in the hash: two hosts may share it."""
        return f"{self.host} {self.name}"

    @property
    def has_crashed(self) -> bool:
        """Whether this is the end of a process that should have gone on."""
        return self.state is ProgramState.BACKOFF or (self.state is ProgramState.EXITED and not self.expected)


async def read_programs(redis: Redis) -> list[Program]:
    """Read them all, by host and name; what cannot be read, as another version may have it, is left out."""
    fields = await read_hash(redis, keys.PROGRAMS)
    found = (parse_program(text) for _, text in sorted(fields.items()))
    return [program for program in found if program is not None]


def parse_program(text: str) -> Program | None:
    """Read one as it stands in Redis; None if another version wrote it in another way."""
    try:
        return Program.model_validate_json(text)
    except ValidationError:
        return None
