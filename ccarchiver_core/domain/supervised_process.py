"""The last state of one process under supervisord, as recorded by the event listener."""

from __future__ import annotations

import enum

from pydantic import BaseModel

from ccarchiver_core.domain.record_types import (
    Count,
    ProcessId,
    UnixTime,
)


class ProcessState(enum.StrEnum):
    """The lasting states of a process in supervisord; STARTING and STOPPING are left out."""

    RUNNING = "RUNNING"
    BACKOFF = "BACKOFF"
    """It exited too soon after its start; supervisord starts it again after a delay."""
    STOPPED = "STOPPED"
    """A person has stopped it, or supervisord is shutting down."""
    EXITED = "EXITED"
    FATAL = "FATAL"
    """supervisord does not start it again."""


class SupervisedProcess(BaseModel):
    """The last state of one process.

    All fields but two have a default, because versions differ during an upgrade.
    """

    name: str
    """Name with its group, as supervisorctl expects it."""
    state: ProcessState
    host: str = ""
    supervisord: str = ""
    """The supervisord of that host: its process id and start time."""
    changed_at: UnixTime = 0.0
    """Time at which it entered this state: Unix time, UTC, seconds."""
    expected: bool = False
    """Whether its configuration expects the exit code; only valid for EXITED."""
    tries: Count = 0
    """Failed starts in a row; only valid for BACKOFF."""
    pid: ProcessId = 0
    """Process id of the running or exited process; 0 if there is none."""

    @property
    def field(self) -> str:
        """Field in the hash; it includes the host, because two hosts may share the hash."""
        return f"{self.host} {self.name}"

    @property
    def has_crashed(self) -> bool:
        """Whether the process has exited unexpectedly."""
        return self.state is ProcessState.BACKOFF or (
            self.state is ProcessState.EXITED and not self.expected
        )
