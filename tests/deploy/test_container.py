"""The Containerfile: its files exist, it runs unprivileged, its health check uses /healthz."""

from __future__ import annotations

import json
import re
import shlex
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typing_extensions import override

from ccarchiver_sim import pace
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
CONTAINERFILE = ROOT / "deploy" / "Containerfile"
ENVIRONMENT = ROOT / "deploy" / "ccarchiver.env"

SECRETS = re.compile(r"passw|secret|token|iip_cred\.", re.IGNORECASE)
LIMIT_S = 60.0


def instructions() -> list[tuple[str, str]]:
    """Return each instruction and its arguments, with continuation lines joined."""
    lines = [
        line
        for line in CONTAINERFILE.read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    ]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [
        (line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined.splitlines() if line
    ]


def of(name: str) -> list[str]:
    return [words for instruction, words in instructions() if instruction == name]


def final() -> list[tuple[str, str]]:
    """Return the instructions of the final stage, which is the image that runs."""
    all_of_them = instructions()
    last = max(at for at, (name, _) in enumerate(all_of_them) if name == "FROM")
    return all_of_them[last:]


def image_environment() -> dict[str, str]:
    return dict(word.split("=", 1) for words in of("ENV") for word in shlex.split(words))


def test_every_copied_file_exists_and_every_package_is_copied() -> None:
    sources = [
        source for words in of("COPY") if "--from" not in words for source in words.split()[:-1]
    ]
    assert [source for source in sources if not (ROOT / source).exists()] == []
    packages = {path.parent.name for path in ROOT.glob("ccarchiver_*/__init__.py")}
    assert len(packages) > 4
    assert packages <= set(sources)
    assert {"requirements.txt", "middleware", "supervisord.conf"} <= set(sources)


def test_image_is_debian_12_and_runs_as_an_unprivileged_user_with_a_fixed_uid() -> None:
    bases = [words.split()[0] for words in of("FROM")]
    assert set(bases) == {"debian:12-slim"}, (
        "no registry host: the default is the site's own registry"
    )
    names = [name for name, _ in final()]
    [user] = [words for name, words in final() if name == "USER"]
    [made] = [words for name, words in final() if name == "RUN"]
    assert names.index("RUN") < names.index("USER") < names.index("CMD")
    assert user == "10001"
    assert re.search(rf"useradd --system --uid {user} [^&]*\bccarchiver\b", made)
    assert "10001" in CONTAINERFILE.read_text(encoding="utf-8").split("FROM", 1)[0], (
        "a site must know the uid"
    )


@pytest.mark.processes
def test_linter_finds_nothing_in_the_containerfile() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    asked = [str(hadolint), "--no-color", "--failure-threshold", "style", str(CONTAINERFILE)]
    done = pace.run(asked, LIMIT_S, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_image_contains_no_secret_and_accepts_none_at_build_time() -> None:
    assert of("ARG") == ["VERSION=0.dev0"]
    assert [words for _, words in instructions() if SECRETS.search(words)] == []
    assert not any(words.startswith((". ", "./ ")) for words in of("COPY")), (
        "stray files of a checkout are not copied"
    )


def test_image_folders_are_those_of_the_environment_file() -> None:
    lines = ENVIRONMENT.read_text(encoding="utf-8").splitlines()
    of_the_file = dict(
        line.split("=", 1) for line in lines if "=" in line and not line.startswith("#")
    )
    ours = {
        name: value
        for name, value in image_environment().items()
        if name.startswith(("IIP_", "CCARCHIVER_"))
    }
    assert len(ours) == 4
    assert ours.items() <= of_the_file.items()
    [made] = [words for name, words in final() if name == "RUN"]
    for name in ("IIP_LOG_DIR", "CCARCHIVER_RUN_DIR"):
        assert re.search(rf"install -d -o ccarchiver [^&]* {ours[name]}\b", made), (
            f"{name} is not writable"
        )


@contextmanager
def page_that_says(status: int, port: int) -> Iterator[list[str]]:
    """Answer as the status page does; yield the requested paths."""
    asked = list[str]()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"{}")

        @override
        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with HTTPServer((LOOPBACK, port), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()


def is_healthy(folder: Path, port: int) -> bool:
    """Run the health check's command as the container does, for a site with this STATUS_PORT."""
    (folder / "ccarchiver_config.yaml").write_text(
        f"ROOT:\n  STATUS_PORT: {port}\n", encoding="utf-8"
    )
    [words] = of("HEALTHCHECK")
    program, *arguments = json.loads(words.split("CMD", 1)[1])
    assert program == "python3"
    # A proxy of this machine must not be used for a local page.
    env = {
        "IIP_CONFIG_DIR": str(folder),
        "PYTHONPATH": str(ROOT),
        "http_proxy": f"http://{LOOPBACK}:1",
    }
    done = pace.run([sys.executable, *arguments], LIMIT_S, env=env, capture_output=True)
    return done.returncode == 0


@pytest.mark.processes
@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (404, False)])
def test_health_check_result_follows_healthz(tmp_path: Path, status: int, *, healthy: bool) -> None:
    port = free_port()
    with page_that_says(status, port) as asked:
        assert is_healthy(tmp_path, port) is healthy
    assert asked == ["/healthz"]


@pytest.mark.processes
def test_health_check_fails_without_a_page(tmp_path: Path) -> None:
    assert not is_healthy(tmp_path, free_port())
