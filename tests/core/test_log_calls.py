"""Every log call in the workers: event names are dotted, and a key has one meaning."""

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
"""Keys that `ccarchiver_core.log.logs` adds to each line. It overwrites the same key of a call."""

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
"""For each key, other names that a call must not use for it."""


def calls() -> Iterator[tuple[str, str, set[str]]]:
    """Yield position, event and keys of each log call, also of backoffs and deferred logs."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if (
                    not isinstance(node, ast.Call)
                    or not isinstance(node.func, ast.Attribute)
                    or not node.args
                ):
                    continue
                match node.func, node.args:
                    case ast.Attribute(value=ast.Name(id="_log"), attr=level), [
                        ast.Constant(value=str(event)),
                        *_,
                    ]:
                        assert level in LEVELS
                    case ast.Attribute(attr="wait"), [
                        ast.Name(id="_log"),
                        ast.Constant(value=str(event)),
                        *_,
                    ]:
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
                    case ast.Attribute(value=ast.Name(id="_log"), attr=level), [*_] if (
                        level in LEVELS
                    ):
                        pytest.fail(
                            f"{path.name}:{node.lineno}: the event name is not a string literal"
                        )
                    case _:
                        continue
                yield (
                    f"{path.name}:{node.lineno}",
                    event,
                    {word.arg for word in node.keywords if word.arg},
                )


CALLS = list(calls())


def test_log_calls_of_the_workers_are_found() -> None:
    assert len(CALLS) > 50
    assert {
        "instruction.sent",
        "event.accepted",
        "redis.unavailable",
        "image.completed",
        "forwarder.paired",
    } <= {event for _, event, _ in CALLS}


@pytest.mark.parametrize(
    ("place", "event", "keys"), CALLS, ids=[f"{place} {event}" for place, event, _ in CALLS]
)
def test_log_event_is_dotted_and_uses_the_standard_keys(
    place: str, event: str, keys: set[str]
) -> None:
    assert EVENT.fullmatch(event), f"{place}: {event}"
    assert not keys & OURS_IN_EVERY_LINE, f"{place}: {event} has a key that every line has already"
    for right, others in OTHER_NAMES.items():
        assert not keys & others, f"{place}: {event}: this key is named {right} everywhere else"
