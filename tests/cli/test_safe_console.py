"""A text from a peer cannot control the operator's terminal."""

from __future__ import annotations

import io
import json

import pytest
from rich.table import Table
from rich.text import Text

from ccarchiver_cli.output import fail, print_json, say
from ccarchiver_cli.safe_console import SafeConsole

HOSTILE = "a\x1b]0;title\x07b\x1b[2Jc\x9b31md\re\x7f"
CONTROL = set("\x1b\x07\x9b\r\x7f")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_console_replaces_control_characters(*, is_terminal: bool) -> None:
    out = io.StringIO()
    console = SafeConsole(
        file=out, force_terminal=is_terminal, color_system=None, markup=False, width=200
    )
    table = Table(HOSTILE)
    table.add_row(HOSTILE)
    for shown in (HOSTILE, Text(HOSTILE), table):
        console.print(shown)
    assert set(out.getvalue()) & CONTROL == set()
    assert "?[2Jc" in out.getvalue()


def test_say_fail_and_json_output_replace_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say(HOSTILE)
    fail(HOSTILE)
    print_json({"text": HOSTILE})
    out, err = capsys.readouterr()
    assert set(out + err) & CONTROL == set()
    assert json.loads(out[out.index("{") :]) == {"text": HOSTILE}


def test_console_keeps_its_own_colours() -> None:
    out = io.StringIO()
    SafeConsole(file=out, force_terminal=True, color_system="standard").print(Text("x", "red"))
    assert "\x1b[31mx" in out.getvalue()
