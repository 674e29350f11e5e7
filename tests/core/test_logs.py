from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys
from ccarchiver_core.runtime.heartbeat import Heartbeat, read_heartbeat
from ccarchiver_sim import pace
from ccarchiver_sim.testbed.child_process import ChildProcess
from ccarchiver_sim.testbed.environment import run_environment
from ccarchiver_sim.testbed.folder import RunFolder
from tests.core.redis_helpers import LIMIT_S, eventually, looking_into, site

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from redis.asyncio import Redis

    from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis

pytestmark = pytest.mark.processes

SECRET = "correct-horse-battery"  # noqa: S105  no real password


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in its own process: pytest has already configured logging in this one."""
    return pace.run(
        [sys.executable, "-c", program, str(folder)], LIMIT_S, capture_output=True, text=True
    )


HEAD = """
import pathlib, sys, logging, structlog
from ccarchiver_core.log import logs
logs.configure("test", pathlib.Path(sys.argv[1]))
"""


def lines_of(folder: Path) -> list[dict[str, object]]:
    text = (folder / "ccarchiver_test.log").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_each_log_line_is_one_json_object_with_its_image(tmp_path: Path) -> None:
    program = f"""{HEAD}
structlog.get_logger("ours").info("instruction.sent", image="CC_O_1", job=7)
with structlog.contextvars.bound_contextvars(image="CC_O_2"):
    structlog.get_logger("ours").warning("bound")
logging.getLogger("theirs").warning("plain %s", "text")
"""
    done = run(program, tmp_path / "logs")

    assert done.returncode == 0, done.stderr
    sent, bound, plain = lines_of(tmp_path / "logs")
    assert (sent["event"], sent["image"], sent["job"], sent["level"]) == (
        "instruction.sent",
        "CC_O_1",
        7,
        "info",
    )
    assert (bound["event"], bound["image"]) == ("bound", "CC_O_2")
    assert (plain["event"], plain["logger"]) == ("plain text", "theirs")
    assert {line["worker"] for line in (sent, bound, plain)} == {"test"}
    assert len({line["pid"] for line in (sent, bound, plain)}) == 1
    assert str(sent["timestamp"]).endswith("Z"), "times are in UTC"
    assert "instruction.sent" in done.stderr


def test_log_file_contains_an_exception_with_its_traceback(tmp_path: Path) -> None:
    program = f"""{HEAD}
try:
    raise ValueError("what went wrong")
except ValueError:
    structlog.get_logger("ours").exception("failed")
"""
    assert run(program, tmp_path).returncode == 0

    [line] = lines_of(tmp_path)
    assert "ValueError: what went wrong" in str(line["exception"])


def test_log_file_omits_info_and_debug_lines_of_libraries(tmp_path: Path) -> None:
    program = f"""{HEAD}
for name in ("pika", "asyncio", "ours"):
    logging.getLogger(name).info("from %s", name)
    logging.getLogger(name).debug("debug from %s", name)
"""
    assert run(program, tmp_path).returncode == 0

    assert [line["event"] for line in lines_of(tmp_path)] == ["from ours"]


def test_log_never_contains_the_password_of_logged_credentials(tmp_path: Path) -> None:
    program = f"""{HEAD}
from ccarchiver_core.config.credentials import Credentials
credentials = Credentials.model_validate(\
{{"service_user": "archiver", "service_passwd": "{SECRET}"}})
log = structlog.get_logger("ours")
log.info("connecting", \
credentials=credentials, password=credentials.password, text=f"{{credentials}}")
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


def test_traceback_contains_no_values_of_variables(tmp_path: Path) -> None:
    """A variable of the library that sends the password contains it in plain text."""
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


def test_unwritable_log_directory_is_reported_and_the_program_continues(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file instead of a directory", encoding="utf-8")

    done = run(f"{HEAD}\nstructlog.get_logger('ours').info('going.on')", tmp_path / "logs")

    assert done.returncode == 0
    assert "IIP_LOG_DIR" in done.stderr
    assert "going.on" in done.stderr


def test_console_line_escapes_control_characters_from_a_peer(tmp_path: Path) -> None:
    program = f"""{HEAD}
log = structlog.get_logger("ours")
log.info("instruction.sent", \
image="CC_O_1", why="two\\nlines", text="\\x1b[2J", more="\\x9b2J", n=1)
"""
    done = run(program, tmp_path)

    [line] = done.stderr.splitlines()
    assert line.split()[1].startswith("test[")
    assert line.endswith(
        "info     instruction.sent image=CC_O_1 "
        r'why="two\nlines" text="\u001b[2J" more="\u009b2J" n=1'
    )


def test_last_error_holds_the_newest_error_and_its_time(tmp_path: Path) -> None:
    program = f"""{HEAD}
import time
began = time.time()
log = structlog.get_logger("ours")
log.warning("no.error")
print(repr(logs.last_error.text), logs.last_error.at)
log.error("image.stalled", image="CC_O_1", waiting_on="two\\nlines", effect="late")
print(logs.last_error.text, began <= logs.last_error.at <= time.time())
try:
    raise ValueError("what went wrong")
except ValueError:
    log.exception("message.handler_failed", entry="1-0", effect="late")
print(logs.last_error.text)
log.info("after.it")
logging.getLogger("theirs").critical("a library's error")
log.error("no.effect_on_images")
print(logs.last_error.text)
log.error("long", effect=1000 * "x")
print(logs.last_error.text)
"""
    done = run(program, tmp_path)

    assert done.returncode == 0, done.stderr
    none, stalled, defect, unchanged, long = done.stdout.splitlines()
    assert none == "'' 0.0"
    assert stalled == "late: image.stalled image=CC_O_1 waiting_on=two lines True"
    assert defect == "late: message.handler_failed entry=1-0 ValueError: what went wrong"
    assert unchanged == defect, "only errors that have an effect on the images are kept"
    assert len(long) == 300


def test_uncaught_exception_is_logged_as_worker_crashed(tmp_path: Path) -> None:
    done = run(f'{HEAD}\nraise RuntimeError("an unexpected error")', tmp_path)

    assert done.returncode == 1
    [line] = lines_of(tmp_path)
    assert (line["event"], line["level"]) == ("worker.crashed", "critical")
    assert "RuntimeError: an unexpected error" in str(line["exception"])
    assert "RuntimeError: an unexpected error" in done.stderr


def test_log_rotation_by_size_loses_and_splits_no_line(tmp_path: Path) -> None:
    program = """
import pathlib, sys, structlog
from ccarchiver_core.log import logs
logs.FILE_BYTES = 2000
logs.configure("test", pathlib.Path(sys.argv[1]))
for number in range(50):
    structlog.get_logger("ours").info("instruction.sent", number=number)
"""
    assert run(program, tmp_path).returncode == 0

    files = sorted(tmp_path.iterdir(), key=lambda path: -int(path.suffix[1:].replace("log", "0")))
    assert len(files) > 2
    assert all(path.stat().st_size < 2500 for path in files)
    lines = [
        json.loads(line) for path in files for line in path.read_text(encoding="utf-8").splitlines()
    ]
    assert [line["number"] for line in lines] == list(range(50))


def test_log_starts_on_a_new_line_after_a_truncated_line(tmp_path: Path) -> None:
    (tmp_path / "ccarchiver_test.log").write_text('{"event": "torn by a full di', encoding="utf-8")

    for _ in range(2):
        assert (
            run(f"{HEAD}\nstructlog.get_logger('ours').info('first.one')", tmp_path).returncode == 0
        )

    _torn, *whole = (tmp_path / "ccarchiver_test.log").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["event"] for line in whole] == ["first.one", "first.one"]


async def _heartbeat_with_an_error(redis: Redis) -> Heartbeat | None:
    heartbeat = await read_heartbeat(redis, keys.Worker.BRIDGE)
    return heartbeat if heartbeat is not None and heartbeat.last_error else None


async def test_worker_with_a_wrong_password_reports_it_without_the_password(
    fresh_redis: PrivateRedis,
    rabbit_server: PrivateRabbit,
    fresh_vhost: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = RunFolder(tmp_path_factory.mktemp("s"))
    settings = site(fresh_redis.port)
    address = {
        "REDIS_HOST": settings.redis_host,
        "REDIS_PORT": fresh_redis.port,
        "CONNECT_TIMEOUT": 1,
    }
    folder.write_site({**address, "BASE_BROKER_ADDR": rabbit_server.address_of(fresh_vhost)})
    folder.write_credentials(rabbit_server.user, SECRET)
    # In debug mode asyncio logs slow callbacks with their arguments.
    env = run_environment(folder, {}) | {"PYTHONASYNCIODEBUG": "1"}
    began = time.time()
    async with looking_into(settings) as redis:
        await redis.hset(
            keys.SESSION, mapping={"id": "s", "is_active": "1", "epoch": 1, "pairing": "searching"}
        )
        bridge = ChildProcess(
            "bridge", ["run_ccarchiver_bridge"], env=env, log_path=folder.logs / "bridge.out"
        )
        bridge.start()
        try:
            heartbeat = await eventually(
                lambda: _heartbeat_with_an_error(redis), "an error in the heartbeat"
            )
        finally:
            bridge.stop(LIMIT_S)

    assert "session.failed error_code=5071" in heartbeat.last_error
    assert "rejects the user or the password" in heartbeat.last_error
    assert heartbeat.last_error_at is not None
    assert began <= heartbeat.last_error_at <= heartbeat.written_at
    path = folder.logs / "ccarchiver_bridge.log"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    events = [line["event"] for line in lines]
    assert events[0] == "worker.starting"
    assert {"rabbitmq.unavailable", "session.failed", "worker.stopping"} <= set(events)
    assert {(line["worker"], line["pid"]) for line in lines} == {("bridge", heartbeat.pid)}
    fault = lines[events.index("session.failed")]
    assert (fault["session"], fault["epoch"], fault["error_code"]) == ("s", 1, 5071)
    assert {path.name for path in folder.logs.iterdir()} == {"ccarchiver_bridge.log", "bridge.out"}
    for written in folder.logs.iterdir():
        text = written.read_text(encoding="utf-8")
        assert "rejects the user or the password" in text
        assert SECRET not in text
    assert SECRET not in heartbeat.model_dump_json()
