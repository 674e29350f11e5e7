from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.core.place import LIMIT_S

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "correct-horse-battery"  # noqa: S105  it opens nothing


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run in a process of its own: logging is set up once a process, and pytest has its own."""
    return subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


HEAD = """
import pathlib, sys, logging, structlog
from ccarchiver_core import logs
logs.configure("ccarchiver_test", pathlib.Path(sys.argv[1]))
"""


def lines_of(folder: Path) -> list[dict[str, object]]:
    text = (folder / "ccarchiver_test.log").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_each_line_of_the_file_is_one_json_object_with_the_image(tmp_path: Path) -> None:
    program = f"""{HEAD}
structlog.get_logger("ours").info("order.sent", image="CC_O_1", job=7)
with structlog.contextvars.bound_contextvars(image="CC_O_2"):
    structlog.get_logger("ours").warning("bound")
logging.getLogger("theirs").warning("plain %s", "text")
"""
    done = run(program, tmp_path / "logs")

    assert done.returncode == 0, done.stderr
    sent, bound, plain = lines_of(tmp_path / "logs")
    assert (sent["event"], sent["image"], sent["job"], sent["level"]) == ("order.sent", "CC_O_1", 7, "info")
    assert (bound["event"], bound["image"]) == ("bound", "CC_O_2")
    assert (plain["event"], plain["logger"]) == ("plain text", "theirs")
    assert str(sent["timestamp"]).endswith("Z"), "times are in UTC"
    assert "order.sent" in done.stderr


def test_an_exception_is_in_the_file_with_its_traceback(tmp_path: Path) -> None:
    program = f"""{HEAD}
try:
    raise ValueError("what went wrong")
except ValueError:
    structlog.get_logger("ours").exception("failed")
"""
    assert run(program, tmp_path).returncode == 0

    [line] = lines_of(tmp_path)
    assert "ValueError: what went wrong" in str(line["exception"])


def test_chatter_of_libraries_is_left_out(tmp_path: Path) -> None:
    program = f"""{HEAD}
for name in ("pika", "asyncio", "ours"):
    logging.getLogger(name).info("from %s", name)
    logging.getLogger(name).debug("debug from %s", name)
"""
    assert run(program, tmp_path).returncode == 0

    assert [line["event"] for line in lines_of(tmp_path)] == ["from ours"]


def test_a_password_is_in_no_log_even_if_the_credentials_are_logged(tmp_path: Path) -> None:
    program = f"""{HEAD}
from ccarchiver_core.credentials import Credentials
credentials = Credentials.model_validate({{"service_user": "archiver", "service_passwd": "{SECRET}"}})
log = structlog.get_logger("ours")
log.info("connecting", credentials=credentials, password=credentials.password, text=f"{{credentials}}")
try:
    raise RuntimeError(credentials)
except RuntimeError:
    log.exception("failed")
"""
    done = run(program, tmp_path)

    assert done.returncode == 0, done.stderr
    assert "archiver" in (tmp_path / "ccarchiver_test.log").read_text(encoding="utf-8")
    assert SECRET not in (tmp_path / "ccarchiver_test.log").read_text(encoding="utf-8")
    assert SECRET not in done.stderr


def test_a_traceback_shows_no_values_of_variables(tmp_path: Path) -> None:
    """One of them may be the password: it is in plain text deep in the library that sends it."""
    program = f"""{HEAD}
def connect(user):
    response = "{SECRET[::-1]}"[::-1]
    raise OSError("refused")
try:
    connect("archiver")
except OSError:
    structlog.get_logger("ours").exception("failed")
    logging.getLogger("theirs").exception("failed")
"""
    done = run(program, tmp_path)

    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stderr
    assert SECRET not in (tmp_path / "ccarchiver_test.log").read_text(encoding="utf-8")


def test_a_directory_that_cannot_be_written_is_reported_and_the_program_goes_on(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file is in the way", encoding="utf-8")

    done = run(f"{HEAD}\nstructlog.get_logger('ours').info('going.on')", tmp_path / "logs")

    assert done.returncode == 0
    assert "IIP_LOG_DIR" in done.stderr
    assert "going.on" in done.stderr
