"""The documents: every page, and every command that a page shows."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.markdown import blocks, spans

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"

PROGRAMS = (
    r"ccarchiver|command_ccarchiver|run_ccarchiver_\w+|ccarchiver-sim-\w+|supervisord|supervisorctl|make|scripts/\w+|"
    r"PYTHON=\S+|\.venv/bin/\S+|python3?|pytest|pip|redis-\w+|rabbitmqctl|openssl|systemctl|ss|ssh|curl|df|grep|set"
)
"""Words that begin an inline command rather than a name; another word must follow."""
_COMMAND = re.compile(rf"({PROGRAMS}) \S.*")


def pages() -> list[Path]:
    """Return every page that is written by hand, the README first."""
    return [
        ROOT / "README.md",
        *sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts),
    ]


def commands() -> dict[str, list[str]]:
    """Return every command of every page, from blocks and sentences, with its places."""
    found: dict[str, list[str]] = {}
    for path in pages():
        text = path.read_text(encoding="utf-8")
        name = str(path.relative_to(ROOT))
        for block in blocks(text):
            for command in block.commands:
                found.setdefault(command, []).append(f"{name}:{block.line}")
        for span in spans(text):
            if _COMMAND.fullmatch(span):
                found.setdefault(span, []).append(name)
    return found
