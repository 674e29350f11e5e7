"""Tests of ``ccarchiver logs`` on real files."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from ccarchiver_cli import logs
from ccarchiver_cli.log_files import LogFiles
from ccarchiver_cli.main import make_app
from ccarchiver_core.log.logs import FILE_BYTES, FILES_KEPT
from ccarchiver_sim.pace import Deadline
from ccarchiver_sim.testbed.child_process import ChildProcess
from tests.cli.cli_runner import Answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IMAGE = "CC_O_20261122_000001"
LONGER = f"{IMAGE}0"
ACK_ID = "2026-11-22_08:18:37.932650_70001012"
BEGIN = dt.datetime(2026, 11, 22, 8, 18, 37, tzinfo=dt.UTC)
LIMIT_S = 60.0


def at(seconds: float) -> str:
    return (BEGIN + dt.timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def line(seconds: float, event: str, worker: str = "bridge", **more: object) -> str:
    fields = {
        "event": event,
        "worker": worker,
        "pid": 7,
        "level": "info",
        "logger": "l",
        "timestamp": at(seconds),
    }
    return (
        json.dumps(more | {key: value for key, value in fields.items() if key not in more}) + "\n"
    )


def run(*words: str, folder: Path | None, **env: str) -> Answer:
    if folder is not None:
        env["IIP_LOG_DIR"] = str(folder)
    result = CliRunner(env={"COLUMNS": "200", **env}).invoke(make_app("logs"), ["logs", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a log directory: two workers, one with rotated files, and unrelated files."""
    (tmp_path / "ccarchiver_bridge.log.10").write_text(
        line(-60, "instruction.sent", image="CC_O_before")
    )
    (tmp_path / "ccarchiver_bridge.log.2").write_text(
        line(1, "instruction.sent", image=IMAGE, ack_id=ACK_ID, instruction="new")
    )
    (tmp_path / "ccarchiver_bridge.log.1").write_text(
        line(3, "instruction.acknowledged", image=IMAGE, ack_id=ACK_ID)
        + line(3, "instruction.sent", image=LONGER)
    )
    (tmp_path / "ccarchiver_bridge.log").write_text(
        line(5, "session.failed", level="error", report=f"no answer for {IMAGE}, sent twice")
        + line(
            6,
            "message.handler_failed",
            level="error",
            image=IMAGE,
            exception="Traceback\n  File\nValueError: what went wrong",
        )
    )
    (tmp_path / "ccarchiver_sal.log").write_text(
        line(0, "event.accepted", "sal", image=IMAGE, topic="startIntegration")
        + line(2, "event.accepted", "sal", image=IMAGE, topic="endReadout")
        + line(2.5, "worker.starting", "sal")
    )
    (tmp_path / "supervisord.log").write_text(f"not ours: {IMAGE}\n")
    (tmp_path / "bridge.out").write_text(f"not ours: {IMAGE}\n")
    return tmp_path


def events(done: Answer) -> list[str]:
    """Return the events of the lines printed by ``--json``."""
    return [json.loads(text)["event"] for text in done.out.splitlines()]


def test_log_lines_of_an_image_are_merged_by_time_across_workers_and_files(folder: Path) -> None:
    done = run(IMAGE, folder=folder)

    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "2026-11-22T08:18:37Z sal[7]          info     event.accepted topic=startIntegration",
        (
            "2026-11-22T08:18:38Z bridge[7]       info     "
            f"instruction.sent ack_id={ACK_ID} instruction=new"
        ),
        "2026-11-22T08:18:39Z sal[7]          info     event.accepted topic=endReadout",
        f"2026-11-22T08:18:40Z bridge[7]       info     instruction.acknowledged ack_id={ACK_ID}",
        (
            "2026-11-22T08:18:42Z bridge[7]       error    "
            f'session.failed report="no answer for {IMAGE}, sent twice"'
        ),
        (
            "2026-11-22T08:18:43Z bridge[7]       error    "
            'message.handler_failed error="ValueError: what went wrong"'
        ),
    ]


def test_json_output_prints_log_lines_unchanged(folder: Path) -> None:
    done = run(IMAGE, "--json", "--worker", "sal", folder=folder)

    assert done.out.splitlines() == (folder / "ccarchiver_sal.log").read_text().splitlines()[:2]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--worker", "sal"], ["event.accepted", "event.accepted"]),
        (["--level", "error"], ["session.failed", "message.handler_failed"]),
        (
            ["--level", "warning", "--worker", "bridge"],
            ["session.failed", "message.handler_failed"],
        ),
        (["--since", at(5)], ["session.failed", "message.handler_failed"]),
        (["--since", "2026-11-22T08:18:42"], ["session.failed", "message.handler_failed"]),
        (["--since", "2026-11-22T09:18:42+01:00"], ["session.failed", "message.handler_failed"]),
    ],
)
def test_log_lines_are_filtered_by_worker_level_and_time(
    folder: Path, options: list[str], expected: list[str]
) -> None:
    assert events(run(IMAGE, "--json", *options, folder=folder)) == expected


def test_since_accepts_a_duration(tmp_path: Path) -> None:
    def ago(seconds: int) -> str:
        return (dt.datetime.now(tz=dt.UTC) - dt.timedelta(seconds=seconds)).isoformat()

    old, new = (
        line(0, event, image=IMAGE, timestamp=ago(s))
        for event, s in (("ol.d", 7200), ("ne.w", 1800))
    )
    (tmp_path / "ccarchiver_sal.log").write_text(old + new)

    assert events(run(IMAGE, "--json", "--since", "1h", folder=tmp_path)) == ["ne.w"]
    assert events(run(IMAGE, "--json", "--since", "1d", folder=tmp_path)) == ["ol.d", "ne.w"]


@pytest.mark.parametrize("since", ["yesterday", "10x", "9999999999d", "2026-13-01"])
def test_invalid_time_is_rejected_with_the_accepted_forms(folder: Path, since: str) -> None:
    done = run(IMAGE, "--since", since, folder=folder)

    assert done.code == 2
    assert "2026-11-22T08:18 (UTC)" in " ".join(done.err.replace("│", " ").split())


def test_bare_image_number_is_rejected(folder: Path) -> None:
    done = run("2", folder=folder)

    assert (done.code, "ccarchiver images" in " ".join(done.err.replace("│", " ").split())) == (
        2,
        True,
    )


def test_ack_id_selects_log_lines_like_an_image_name(folder: Path) -> None:
    assert events(run(ACK_ID, "--json", folder=folder)) == [
        "instruction.sent",
        "instruction.acknowledged",
    ]


def test_image_name_does_not_match_a_longer_name(folder: Path) -> None:
    assert events(run(LONGER, "--json", folder=folder)) == ["instruction.sent"]
    assert run(IMAGE[:-1], folder=folder).code == 1


def test_truncated_and_non_json_lines_are_skipped_and_counted(folder: Path) -> None:
    with (folder / "ccarchiver_sal.log").open("a") as file:
        file.write("plain text\n")
        file.write(f'{{"image": "{IMAGE}", "event": "torn in the mid\n')
        file.write(f'{{"image": "{IMAGE}"}}\n')
        file.write(f'["{IMAGE}"]\n')
        file.write("\0\0\0\0\n")
        file.write(line(9, "whole.one", image=IMAGE))
        file.write(line(10, "torn.one", image=IMAGE)[:-1])

    done = run(IMAGE, "--json", folder=folder)

    assert done.code == 0
    assert events(done)[-1] == "whole.one"
    assert "6 lines skipped: incomplete or not JSON" in done.err


def test_no_matching_line_is_reported_with_the_searched_directory(folder: Path) -> None:
    done = run("CC_O_never", folder=folder)

    assert (done.code, done.out) == (1, "")
    assert f"CC_O_never in 5 files {folder}/ccarchiver_*.log*" in done.err


def test_level_is_the_minimum_level_of_the_lines(folder: Path) -> None:
    help_text = " ".join(run("--help", folder=folder).out.replace("│", " ").split())
    assert "Minimum level of the lines: debug, info, warning, error, critical." in help_text

    done = run(IMAGE, "--level", "critical", "--since", "2026-11-22T10:18+02:00", folder=folder)

    assert (done.code, done.out) == (1, "")
    assert (
        f"no line about {IMAGE} with level critical or higher since 2026-11-22T08:18:00Z in "
    ) in done.err


def test_empty_log_directory_is_reported(tmp_path: Path) -> None:
    done = run(IMAGE, folder=tmp_path)

    assert done.code == 1
    assert f"there is no log file {tmp_path}/ccarchiver_*.log*" in done.err


@pytest.mark.parametrize("name", ["", " "])
def test_empty_name_is_rejected(folder: Path, name: str) -> None:
    done = run(name, folder=folder)

    assert done.code == 2
    assert "type the name of an image or an ACK_ID" in done.err


def test_missing_log_directory_is_reported_with_a_remedy(tmp_path: Path) -> None:
    done = run(IMAGE, folder=tmp_path / "missing")

    assert done.code == 78
    assert (
        f"{tmp_path}/missing cannot be read: No such file or directory; set IIP_LOG_DIR" in done.err
    )


def test_log_directory_that_is_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "logs").touch()

    done = run(IMAGE, folder=tmp_path / "logs")

    assert done.code == 78
    assert "Not a directory" in done.err


def test_unreadable_log_files_are_reported(tmp_path: Path) -> None:
    # A link to itself cannot be read even by root.
    (tmp_path / "ccarchiver_sal.log").symlink_to(tmp_path / "ccarchiver_sal.log")

    done = run(IMAGE, folder=tmp_path)

    assert done.code == 78
    assert "ccarchiver_sal.log: Too many levels of symbolic links" in done.err


def test_one_unreadable_log_file_is_reported_beside_the_lines_of_the_others(folder: Path) -> None:
    (folder / "ccarchiver_health.log").symlink_to(folder / "ccarchiver_health.log")

    done = run(IMAGE, folder=folder)

    assert done.code == 0
    assert len(done.out.splitlines()) == 6
    assert "ccarchiver_health.log skipped: Too many levels" in done.err


def test_log_directory_comes_from_the_site_file_if_the_variable_is_unset(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = tmp_path_factory.mktemp("config")
    (config / "ccarchiver_config.yaml").write_text(f"ROOT: {{LOGGING_DIR: {folder}}}\n")
    assert run(IMAGE, folder=None, IIP_CONFIG_DIR=str(config)).code == 0

    (config / "ccarchiver_config.yaml").write_text("ROOT: {}\n")
    nowhere = run(IMAGE, folder=None, IIP_CONFIG_DIR=str(config))
    assert nowhere.code == 78
    assert "neither IIP_LOG_DIR nor LOGGING_DIR" in nowhere.err

    without = run(IMAGE, folder=None)
    assert without.code == 78
    assert "IIP_LOG_DIR is not set" in without.err


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    deadline = Deadline(LIMIT_S)
    while not condition():
        assert not deadline.has_passed(), f"no {what} within {LIMIT_S:g} s"
        time.sleep(0.02)


@pytest.mark.processes
def test_follow_continues_across_a_rotation_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    folder, out = tmp_path / "logs", tmp_path / "out"
    folder.mkdir()
    current = folder / "ccarchiver_sal.log"
    current.write_text(line(0, "number.one", image=IMAGE))
    argv = [sys.executable, "-m", "ccarchiver_cli.main", "logs", IMAGE, "--follow", "--json"]
    env = {"PATH": os.environ["PATH"], "IIP_LOG_DIR": str(folder)}
    with ChildProcess("logs", argv, env=env, log_path=tmp_path / "err", out_path=out) as child:
        wait_for("the first line", lambda: "number.one" in out.read_text())
        with current.open("a") as old:
            two = line(1, "number.two", image=IMAGE)
            old.write(two[:30])  # the rest is written after the file is renamed
            old.flush()
            current.rename(folder / "ccarchiver_sal.log.1")
            current.write_text(
                line(2, "number.three", image=IMAGE) + line(2, "of.another", image="CC_O_2")
            )
            (folder / "ccarchiver_health.log").write_text(
                line(3, "number.four", "health", image=IMAGE)
            )
            wait_for("the file of a worker that is new", lambda: "number.four" in out.read_text())
            old.write(two[30:])
        wait_for("the end of the old file", lambda: "number.two" in out.read_text())
        child.signal(signal.SIGINT)
        wait_for("the end", lambda: not child.is_running)
        assert child.exit_code == 0

    logged = [json.loads(text)["event"] for text in out.read_text().splitlines()]
    assert sorted(logged) == sorted(f"number.{n}" for n in ("one", "two", "three", "four"))
    assert (tmp_path / "err").read_text() == ""


def test_log_file_rotated_while_it_is_read_is_read_once(tmp_path: Path) -> None:
    current = tmp_path / "ccarchiver_sal.log"
    current.write_text(line(0, "a.b", image=IMAGE))
    files = LogFiles(tmp_path)
    assert len(list(files.lines_with(b"a.b"))) == 1
    for age in range(1, 4):
        for older in range(age, 1, -1):
            (tmp_path / f"ccarchiver_sal.log.{older - 1}").rename(
                tmp_path / f"ccarchiver_sal.log.{older}"
            )
        current.rename(tmp_path / "ccarchiver_sal.log.1")
        current.write_text(line(age, "a.b", image=IMAGE))
        assert [json.loads(raw)["timestamp"] for _, raw in files.lines_with(b"a.b")] == [at(age)]
        assert files.count == age + 1
    files.close()


def test_full_log_files_are_searched_without_parsing_each_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filler = line(0, "instruction.sent", image="CC_O_of_others", ack_id=ACK_ID, text=100 * "x")
    block = filler * (FILE_BYTES // FILES_KEPT // len(filler))
    for age in range(1, FILES_KEPT + 1):
        (tmp_path / f"ccarchiver_bridge.log.{age}").write_text(
            line(-age, "a.b", image=IMAGE) + block
        )
    parsed = list[bytes]()

    class Json:
        dumps = staticmethod(json.dumps)

        @staticmethod
        def loads(raw: bytes) -> object:
            parsed.append(raw)
            return json.loads(raw)

    monkeypatch.setattr(logs, "json", Json)
    done = run(IMAGE, "--json", folder=tmp_path)
    assert len(parsed) == FILES_KEPT
    assert [json.loads(text)["timestamp"] for text in done.out.splitlines()] == [
        at(-n) for n in range(10, 0, -1)
    ]
