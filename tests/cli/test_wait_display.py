"""The progress of a wait: a bar on a terminal, lines anywhere else, nothing beside JSON."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from ccarchiver_cli import wait_display
from ccarchiver_cli.catchup_wait import WaitProgress
from ccarchiver_cli.retry import Result
from ccarchiver_cli.safe_console import SafeConsole
from ccarchiver_cli.wait_display import WaitDisplay

if TYPE_CHECKING:
    import pytest

DONE = Result(image="CC_1", done=True, text="complete")


def show_wait(*, is_silent: bool = False) -> None:
    """Show the wait for two images."""
    with WaitDisplay(2, is_silent=is_silent) as display:
        display.show(WaitProgress((), "exposure CC_9 is in progress"))
        display.show(WaitProgress((DONE,), "CC_2"))
        display.show(WaitProgress((DONE,), "CC_2"))


def test_bar_is_shown_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = io.StringIO()
    out = SafeConsole(file=terminal, force_terminal=True, width=80, markup=False)
    monkeypatch.setattr(wait_display, "console", lambda: out)

    show_wait()

    assert "1/2" in terminal.getvalue()
    assert "━" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_lines_are_printed_once_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show_wait()

    assert capsys.readouterr().out.splitlines() == [
        "waiting: exposure CC_9 is in progress",
        "1 of 2: CC_1 complete",
        "waiting: CC_2",
    ]


def test_nothing_is_printed_beside_json(capsys: pytest.CaptureFixture[str]) -> None:
    show_wait(is_silent=True)

    assert capsys.readouterr().out == ""
