"""The logrotate configuration, run by logrotate beside the rotation by workers and supervisord."""

from __future__ import annotations

import grp
import gzip
import os
import pwd
import re
import shutil
import time
from configparser import RawConfigParser
from pathlib import Path

import pytest

from ccarchiver_core.log.logs import FILE_PREFIX, FILES_KEPT
from ccarchiver_sim import pace

ROOT = Path(__file__).parent.parent.parent
CONFIGURATION = ROOT / "deploy" / "ccarchiver.logrotate"
FOLDER = "/var/log/ccarchiver"
LIMIT_S = 60.0
DAY_S = 86400.0


def logrotate() -> str:
    """Return the path of logrotate; root's programs may not be on a developer's PATH."""
    found = shutil.which(
        "logrotate", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin{os.pathsep}/sbin"
    )
    assert found is not None, "no logrotate; `make setup-tests` installs Debian's package"
    return found


class Logs:
    """A log directory on which logrotate runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "log"
        self.folder.mkdir(mode=0o750)
        self.archive = self.folder / "archive"
        user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
        text = CONFIGURATION.read_text(encoding="utf-8")
        text = text.replace(FOLDER, str(self.folder)).replace(
            "ccarchiver ccarchiver", f"{user} {group}"
        )
        self._path = folder / "ccarchiver"
        self._path.write_text(text, encoding="utf-8")
        self._path.chmod(0o644)  # logrotate rejects a configuration that others can write
        self._state = folder / "state"

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def rotate(self) -> str:
        """Run logrotate as its timer does; return its output."""
        argv = [logrotate(), "--state", str(self._state), str(self._path)]
        done = pace.run(argv, LIMIT_S, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return str(done.stdout + done.stderr)

    def second(self) -> int:
        """Return the current second of time() in C, which can be behind Python's clock."""
        clock = self._state.with_name("clock")
        clock.touch()
        return int(clock.stat().st_mtime)

    def archived(self) -> list[str]:
        """Return the texts in the archive."""
        return sorted(
            gzip.decompress(path.read_bytes()).decode() for path in self.archive.glob("*.gz")
        )


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    tmp_path.chmod(0o755)
    return Logs(tmp_path)


@pytest.mark.processes
def test_logrotate_archives_only_the_oldest_file_of_each_log(logs: Logs) -> None:
    kept = {
        f"{FILE_PREFIX}sal.log{end}": f"sal{end}"
        for end in ("", *(f".{age}" for age in range(1, FILES_KEPT)))
    }
    kept |= {
        "supervisord.log": "now",
        "supervisord.log.4": "before",
        "sal.out": "out",
        "sal.out.5": "old out",
    }
    oldest = {
        f"{FILE_PREFIX}sal.log.{FILES_KEPT}": "sal 1",
        f"{FILE_PREFIX}health.log.{FILES_KEPT}": "health 1",
    }
    for name, text in (kept | oldest | {"supervisord.log.5": "supervisord 1"}).items():
        logs.write(name, text)

    assert logs.rotate() == "", "logrotate reports no problem"
    assert logs.archived() == ["health 1", "sal 1", "supervisord 1"]
    assert {path.name: path.read_text() for path in logs.folder.iterdir() if path.is_file()} == kept

    # Two archives of the same second have the same name: the second one waits for the next run.
    before = logs.second()
    while logs.second() == before:
        time.sleep(0.05)
    logs.write(f"{FILE_PREFIX}sal.log.{FILES_KEPT}", "sal 2")
    assert logs.rotate() == ""
    assert logs.archived() == ["health 1", "sal 1", "sal 2", "supervisord 1"]


@pytest.mark.processes
def test_logrotate_deletes_archives_older_than_a_year(logs: Logs) -> None:
    logs.archive.mkdir(mode=0o750)
    for days in (300, 400):
        at = time.time() - days * DAY_S
        path = logs.archive / (
            f"{FILE_PREFIX}sal.log.{FILES_KEPT}"
            f"{time.strftime('.%Y%m%d', time.gmtime(at))}-{int(at)}.gz"
        )
        path.write_bytes(gzip.compress(f"{days} days".encode()))
        os.utime(path, (at, at))
    logs.write(f"{FILE_PREFIX}sal.log.{FILES_KEPT}", "new")

    assert logs.rotate() == ""
    assert logs.archived() == ["300 days", "new"]


@pytest.mark.processes
def test_logrotate_accepts_a_directory_without_logs(logs: Logs) -> None:
    assert logs.rotate() == ""


def test_archived_names_are_the_oldest_of_workers_and_supervisord() -> None:
    text = CONFIGURATION.read_text(encoding="utf-8")
    parser = RawConfigParser(strict=False)
    parser.read(ROOT / "supervisord.conf", encoding="utf-8")
    [line] = re.findall(r"^(/.*) \{$", text, re.MULTILINE)
    assert line.split() == [
        f"{FOLDER}/{FILE_PREFIX}*.log.{FILES_KEPT}",
        f"{FOLDER}/supervisord.log.{parser['supervisord']['logfile_backups']}",
    ]
