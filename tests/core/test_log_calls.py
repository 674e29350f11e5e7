"""Every log line of the workers, as the source has it: events are dotted, keys mean the same everywhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKAGES = ("ccarchiver_core", "ccarchiver_sal", "ccarchiver_bridge", "ccarchiver_health")
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
EVENT = re.compile(r"[a-z_]+(\.[a-z_]+)+")

OURS_IN_EVERY_LINE = {"worker", "pid", "timestamp", "level", "logger"}
"""What `ccarchiver_core.log.logs` puts into each line: a call that gave its own would be overruled."""

OTHER_NAMES = {
    "image": {"obsid", "image_id", "image_name", "imageName", "name"},
    "ack_id": {"ack", "ACK_ID", "acknowledgement"},
    "session": {"session_id", "SESSION_ID"},
    "epoch": {"pairing_epoch", "session_epoch"},
    "error_code": {"code", "errorCode"},
    "msg_type": {"message_type", "MSG_TYPE"},
    "topic": {"event_kind", "sal_topic"},
    "queue": {"queue_name", "consume_queue"},
}
"""One name for each thing, and others it might be given."""


def calls() -> Iterator[tuple[str, str, set[str]]]:
    """Give each call's place, event and keys: of ``_log``, and of lines that are written while waiting, or later."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                    continue
                match node.func, node.args:
                    case ast.Attribute(value=ast.Name(id="_log"), attr=level), [ast.Constant(value=str(event)), *_]:
                        assert level in LEVELS
                    case ast.Attribute(attr="wait"), [ast.Name(id="_log"), ast.Constant(value=str(event)), *_]:
                        pass
                    case (
                        ast.Attribute(attr="add"),
                        [
                            ast.Attribute(value=ast.Name(id="_log"), attr=level),
                            ast.Constant(value=str(event)),
                            *_,
                        ],
                    ):
                        assert level in LEVELS
                    case ast.Attribute(value=ast.Name(id="_log"), attr=level), [*_] if level in LEVELS:
                        pytest.fail(f"{path.name}:{node.lineno}: the event's name is not a plain text")
                    case _:
                        continue
                yield f"{path.name}:{node.lineno}", event, {word.arg for word in node.keywords if word.arg}


CALLS = list(calls())


def test_there_are_calls_to_look_at() -> None:
    assert len(CALLS) > 50
    assert {"instruction.sent", "event.accepted", "redis.unavailable", "image.completed", "forwarder.paired"} <= {
        event for _, event, _ in CALLS
    }


@pytest.mark.parametrize(("place", "event", "keys"), CALLS, ids=[f"{place} {event}" for place, event, _ in CALLS])
def test_an_event_is_dotted_and_its_keys_are_the_ones_all_use(place: str, event: str, keys: set[str]) -> None:
    assert EVENT.fullmatch(event), f"{place}: {event}"
    assert not keys & OURS_IN_EVERY_LINE, f"{place}: {event} gives a key that every line has by itself"
    for right, others in OTHER_NAMES.items():
        assert not keys & others, f"{place}: {event}: the key is called {right} everywhere else"
