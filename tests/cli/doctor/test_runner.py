"""Checks that crash, hang or cannot run."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from ccarchiver_cli.doctor import runner
from ccarchiver_cli.doctor.command import exit_code
from ccarchiver_cli.doctor.finding import Finding, Level, NotCheckedError, failure, ok, warning
from ccarchiver_cli.doctor.runner import Check, run
from ccarchiver_cli.doctor.site import Site
from ccarchiver_sim import pace

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "correct-horse-battery"  # noqa: S105  not a real password
NOWHERE = Site(None)


def fine(_site: Site) -> Iterator[Finding]:
    yield ok("fine", "all is well")


def crashing(_site: Site) -> Iterator[Finding]:
    yield ok("crashing", "so far so good")
    raise KeyError(SECRET)


def blind(_site: Site) -> Iterator[Finding]:
    raise NotCheckedError("the lamp is broken")
    yield


def test_crashing_check_is_reported_and_the_others_still_run() -> None:
    findings = run([Check("crashing", crashing), Check("fine", fine)], NOWHERE)

    assert [(one.check, one.level) for one in findings] == [
        ("crashing", Level.FAILURE),
        ("fine", Level.OK),
    ]
    assert "KeyError in test_runner.py, line" in findings[0].found
    assert SECRET not in findings[0].found


def test_hanging_check_is_abandoned_and_does_not_delay_the_others() -> None:
    release = threading.Event()

    def hanging(_site: Site) -> Iterator[Finding]:
        release.wait()
        yield ok("hanging", "at last")

    findings = run([Check("hanging", hanging, limit=0.1), Check("fine", fine)], NOWHERE)
    release.set()

    assert [(one.check, one.level) for one in findings] == [
        ("hanging", Level.FAILURE),
        ("fine", Level.OK),
    ]
    assert "no result within 0.1 s" in findings[0].found


@pytest.mark.parametrize(("limits", "level"), [(1.5, Level.OK), (6, Level.FAILURE)])
def test_check_that_computes_may_take_several_limits(
    monkeypatch: pytest.MonkeyPatch, limits: float, level: Level
) -> None:
    monkeypatch.setattr(runner, "COMPUTES_S", 0.01)  # a busy machine gives it little time
    limit = pace.scaled(0.3)

    def computing(_site: Site) -> Iterator[Finding]:
        until = time.monotonic() + limits * limit
        while time.monotonic() < until:
            pass
        yield ok("computing", "at last")

    [finding] = run([Check("computing", computing, limit=limit)], NOWHERE)

    assert finding.level == level
    assert ("the machine is too busy" in finding.found) == (level == Level.FAILURE)


def test_checks_run_in_parallel() -> None:
    meeting = threading.Barrier(3)

    def waits_for_the_others(_site: Site) -> Iterator[Finding]:
        meeting.wait()
        yield ok("together", "")

    findings = run([Check("together", waits_for_the_others, limit=pace.scaled(60))] * 3, NOWHERE)

    assert [one.level for one in findings] == [Level.OK] * 3


def test_check_that_cannot_run_reports_the_reason() -> None:
    assert run([Check("blind", blind)], NOWHERE) == [
        warning("blind", "not checked: the lamp is broken")
    ]


def test_doctor_exit_code_depends_on_the_worst_finding(capsys: pytest.CaptureFixture[str]) -> None:
    good, bad, wrong = ok("redis", ""), failure("redis", ""), failure("credentials", "")

    assert exit_code([good, warning("redis", "")]) == 0
    assert exit_code([good, bad]) == 1
    assert exit_code([bad, wrong]) == 78
    assert not capsys.readouterr().out
