"""The last state of one process under supervisord, as the event listener recorded it."""

from __future__ import annotations

import enum

from pydantic import BaseModel


class ProcessState(enum.StrEnum):
    """Words of supervisord for a program that is not just starting or stopping."""

    RUNNING = "RUNNING"
    BACKOFF = "BACKOFF"
    """It ended too soon after its start, and is started again after a wait."""
    STOPPED = "STOPPED"
    """By a person, or because supervisord ends."""
    EXITED = "EXITED"
    FATAL = "FATAL"
    """supervisord has given it up."""


class SupervisedProcess(BaseModel):
    """The newest of one program. Every field but two has a default: versions differ during an upgrade."""

    name: str
    """With its group, as supervisorctl takes it."""
    state: ProcessState
    host: str = ""
    supervisord: str = ""
    """Which one of that host says so: its process id and start."""
    changed_at: float = 0.0
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
        return self.state is ProcessState.BACKOFF or (self.state is ProcessState.EXITED and not self.expected)
