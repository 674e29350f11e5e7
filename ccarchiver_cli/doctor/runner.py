"""Concurrent runner of the checks. A check that crashes or hangs does not affect the others."""

from __future__ import annotations

import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ccarchiver_cli.doctor.finding import Finding, NotCheckedError, failure, warning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ccarchiver_cli.doctor.site import Site

LIMIT = 15.0
"""Timeout of one check in seconds.

A query to a server that hangs fails after 5 s, and some checks have two queries.
"""


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
        self._deadline = time.monotonic() + check.limit
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
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        found = self._findings
        if found is None:
            text = f"no result within {self._check.limit:g} s: what it checks hangs"
            remedy = "check the machine, its disk and its network, then run ccarchiver doctor again"
            return [failure(self._check.name, text, remedy)]
        return found


def run(checks: Sequence[Check], site: Site) -> list[Finding]:
    """Run all checks and return their findings, in the sequence of the checks."""
    running = [_Running(check, site) for check in checks]
    return [finding for one in running for finding in one.findings()]
