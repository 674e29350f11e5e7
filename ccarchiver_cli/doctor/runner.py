"""Runs the checks side by side: one that crashes or hangs is a line of its own, and the others go on."""

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
"""Seconds one check may take: a server that hangs is noticed after 5 s, some checks ask two things in a row."""


@dataclass(frozen=True)
class Check:
    """One thing to look at."""

    name: str
    look: Callable[[Site], Iterable[Finding]]
    """Runs in a thread of its own; shares nothing with the other checks."""
    limit: float = LIMIT


class _Running:
    """A check under way.

    The thread is a daemon: a check that hangs for good, on a dead file server for instance, must not keep the program
    from ending. An executor's threads would.
    """

    def __init__(self, check: Check, site: Site) -> None:
        self._check = check
        self._findings: list[Finding] | None = None
        self._deadline = time.monotonic() + check.limit
        self._thread = threading.Thread(target=self._run, args=(site,), name=check.name, daemon=True)
        self._thread.start()

    def _run(self, site: Site) -> None:
        try:
            self._findings = list(self._check.look(site))
        except NotCheckedError as error:
            self._findings = [warning(self._check.name, f"not checked: {error}")]
        except Exception as error:  # noqa: BLE001  a defect of one check must not hide what the others find
            self._findings = [self._crash(error)]

    def _crash(self, error: Exception) -> Finding:
        # The text of an exception that nobody foresaw may hold anything, a password too; its place holds none.
        last = traceback.extract_tb(error.__traceback__)[-1]
        return failure(
            self._check.name,
            f"the check itself failed: {type(error).__name__} in {Path(last.filename).name}, line {last.lineno}",
            "report this line to the developers; what the check should have looked at is unknown",
        )

    def findings(self) -> list[Finding]:
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        found = self._findings
        if found is None:
            text = f"no result within {self._check.limit:g} s: what it looks at hangs"
            return [failure(self._check.name, text, "is the machine, its disk or its network stuck? Then ask again")]
        return found


def run(checks: Sequence[Check], site: Site) -> list[Finding]:
    """Run all checks and return what they found, in the order of the checks."""
    running = [_Running(check, site) for check in checks]
    return [finding for one in running for finding in one.findings()]
