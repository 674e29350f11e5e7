"""Concurrent runner of the checks. A check that crashes or hangs does not affect the others."""

from __future__ import annotations

import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ccarchiver_cli.doctor.finding import Finding, NotCheckedError, failure, warning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ccarchiver_cli.doctor.site import Site

LIMIT = 15.0
"""Timeout of one check in seconds.

A query to a server that hangs fails after 5 s, and some checks have two queries.
"""

MOST_LIMITS = 4
"""Number of limits that a check may take while it computes; on a busy machine it takes longer."""

COMPUTES_S = 0.2
"""Processor time within one limit from which a check computes; one that only waits uses less."""

HANGS_REMEDY = "check the machine, its disk and its network"
BUSY_REMEDY = "find with top what uses the processors"


@dataclass(frozen=True)
class Check:
    """One check."""

    name: str
    look: Callable[[Site], Iterable[Finding]]
    """Function of the check; it runs in its own thread and shares nothing with other checks."""
    limit: float = LIMIT


class _Running:
    """A check that is running.

    The thread is a daemon, so a check that hangs, for instance on a dead file server, does not keep
    the program from exiting. The threads of an executor would.
    """

    def __init__(self, check: Check, site: Site) -> None:
        self._check = check
        self._findings: list[Finding] | None = None
        self._begin = time.monotonic()
        self._computed_s = 0.0
        """Processor time of the check at the last look."""
        self._thread = threading.Thread(
            target=self._run, args=(site,), name=check.name, daemon=True
        )
        self._thread.start()

    def _run(self, site: Site) -> None:
        try:
            self._findings = list(self._check.look(site))
        except NotCheckedError as error:
            self._findings = [warning(self._check.name, f"not checked: {error}")]
        except Exception as error:  # noqa: BLE001  a defect must not hide the other findings
            self._findings = [self._crash(error)]

    def _crash(self, error: Exception) -> Finding:
        # The text of an unexpected exception may contain a password, so only its place is printed.
        last = traceback.extract_tb(error.__traceback__)[-1]
        return failure(
            self._check.name,
            f"the check itself failed: {type(error).__name__} in {Path(last.filename).name}, "
            f"line {last.lineno}",
            "report this line to the developers; the state of what it checks is unknown",
        )

    def findings(self) -> list[Finding]:
        waited_s = 0.0
        for number in range(1, MOST_LIMITS + 1):
            waited_s = number * self._check.limit
            self._thread.join(max(0.0, self._begin + waited_s - time.monotonic()))
            if self._findings is not None:
                return self._findings
            if not self._has_computed():
                return [self._overdue(waited_s, "what it checks hangs", HANGS_REMEDY)]
        return [self._overdue(waited_s, "the machine is too busy", BUSY_REMEDY)]

    def _has_computed(self) -> bool:
        """Return whether the check has used a processor since the last call."""
        before, self._computed_s = self._computed_s, _processor_time(self._thread)
        return self._computed_s - before >= COMPUTES_S

    def _overdue(self, waited_s: float, cause: str, remedy: str) -> Finding:
        text = f"no result within {waited_s:g} s: {cause}"
        return failure(self._check.name, text, f"{remedy}, then run ccarchiver doctor again")


def _processor_time(thread: threading.Thread) -> float:
    """Return the seconds of processor time that a thread has used; 0 if it has ended."""
    for one in psutil.Process().threads():
        if one.id == thread.native_id:
            return float(one.user_time + one.system_time)
    return 0.0


def run(checks: Sequence[Check], site: Site) -> list[Finding]:
    """Run all checks and return their findings, in the sequence of the checks."""
    running = [_Running(check, site) for check in checks]
    return [finding for one in running for finding in one.findings()]
