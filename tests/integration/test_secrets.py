"""Passwords are in the credentials file and nowhere else, whatever goes wrong."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import secrets
import signal
from pathlib import Path
from typing import TYPE_CHECKING, cast

import aiohttp
import psutil
import pytest
import pytest_asyncio
import redis as redis_py
from lsst.ts import salobj

from ccarchiver_core import keys
from ccarchiver_sim.pace import scaled
from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK, free_port
from ccarchiver_sim.testbed.child_process import ChildError
from ccarchiver_sim.testbed.rig import Rig
from ccarchiver_sim.testbed.wiretap import WireTap
from tests.support.archiver_harness import LIMIT_S, ArchiverHarness, short

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis
    from tests.support.brokers import VhostPool
    from tests.support.cli_server import CliServer

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

REDIS_USER = "secretive"
REDIS_PASSWORD, WRONG = secrets.token_urlsafe(), secrets.token_urlsafe()
"""The wrong one is a secret too: mostly it is the right one of another place."""

PAGES = ("", "api/snapshot", "healthz", "metrics")
COMMANDS = (
    ("config", "show"),
    ("status",),
    ("doctor",),
    ("logs",),
)

Found = dict[str, bytes]
"""What was seen, by where it was."""


class Search:
    """All that was seen of a run, and the secrets to look for in it."""

    def __init__(self, user: str, *passwords: str) -> None:
        self.seen: Found = {}
        self._needles: dict[str, bytes] = {}
        for number, password in enumerate(passwords):
            raw = password.encode()
            forms = {
                "as it is": raw,
                "in base64": base64.b64encode(raw),
                "as a login in base64": base64.b64encode(f"{user}:{password}".encode()),
                "in hexadecimal digits": raw.hex().encode(),
            }
            self._needles |= {f"password {number} {form}": needle for form, needle in forms.items()}

    def hits(self, found: Found) -> list[str]:
        """Say where a secret is, and never the secret itself."""
        return [
            f"{where}: {what}"
            for where, text in found.items()
            for what, needle in self._needles.items()
            if needle in text
        ]


@pytest.fixture(scope="module")
def redis_user(redis_server: PrivateRedis) -> Iterator[None]:
    """A user with a password in the shared Redis; for the peers its default user stays."""
    with redis_py.Redis(host=LOOPBACK, port=redis_server.port) as client:
        client.flushall()
        client.acl_setuser(
            REDIS_USER, enabled=True, passwords=[f"+{REDIS_PASSWORD}"], keys=["*"], channels=["*"], categories=["+@all"]
        )
        yield
        client.acl_deluser(REDIS_USER)


class Scene:
    """An archiver whose passwords are known, and what goes wrong with it."""

    def __init__(self, harness: ArchiverHarness, cli_server: CliServer) -> None:
        self.harness = harness
        self._typist = cli_server
        self.rig = harness.rig
        self.search = Search(self.rig.rabbit.user, self.rig.rabbit.password, REDIS_PASSWORD, WRONG)

    def write(self, *, rabbit: str | None = None, redis: str = REDIS_PASSWORD) -> None:
        """Write the credentials file; by default the right one."""
        user, right = self.rig.rabbit.user, self.rig.rabbit.password
        login = {"service_user": REDIS_USER, "service_passwd": redis}
        self.rig.folder.write_credentials(user, rabbit or right, redis_users=login)

    def log(self, worker: str) -> str:
        """Give all that a worker has said."""
        return (self.rig.folder.logs / f"{worker}.out").read_text(encoding="utf-8")

    async def crashed(self, worker: str, wanted: str) -> None:
        """Have a worker abort, and wait until its successor has said something."""
        before = len(self.log(worker))
        await polling.wait_for_async(lambda: self._signalled(worker), LIMIT_S, f"{worker} to run")
        await self.said(worker, wanted, before)

    async def said(self, worker: str, wanted: str, before: int) -> None:
        """Wait until a worker has said something after a place in its log."""
        await polling.wait_for(
            lambda: wanted in self.log(worker)[before:],
            LIMIT_S,
            lambda: f"{wanted!r} of {worker}; the whole logs:\n{self.log(worker)}\n{self.log('health')}",
        )

    async def _signalled(self, worker: str) -> bool:
        try:
            await asyncio.to_thread(self.rig.supervisor.signal_worker, worker, signal.SIGABRT)
        except ChildError:
            return False  # supervisord waits a moment before it starts it again
        return True

    async def look(self, when: str) -> None:
        """Look at all that an operator can see, and at the processes."""
        asked = [self._command(when, *words) for words in COMMANDS]
        await asyncio.gather(*asked, self._pages(when))
        self.search.seen |= {f"{when}: {where}": text for where, text in processes().items()}

    async def _command(self, when: str, *words: str) -> None:
        done = await asyncio.to_thread(self._typist.run, words, self.rig.env)
        said = done.stdout + done.stderr
        assert said
        self.search.seen[f"{when}: ccarchiver {' '.join(words)}"] = said.encode()

    async def _pages(self, when: str) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(scaled(LIMIT_S))) as session:
            for page in PAGES:
                async with session.get(self.rig.status_url + page) as answer:
                    self.search.seen[f"{when}: page /{page}"] = str(answer.headers).encode() + await answer.read()
            async with session.get(f"{self.rig.status_url}events") as answer:
                begin = await answer.content.readuntil(b"event: snapshot\n")
                self.search.seen[f"{when}: page /events"] = begin + await answer.content.readuntil(b"\n\n")


def processes() -> Found:
    """Give arguments and environment of every process of this machine that may be looked at."""
    found: Found = {}
    for process in psutil.process_iter():
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):  # it has ended, or is somebody else's
                found[f"{name} of {process.pid}"] = Path(f"/proc/{process.pid}/{name}").read_bytes()
    return found


def contents(server: PrivateRedis, database: int) -> Found:
    """Give all that a database of Redis holds."""
    found: Found = {}
    with redis_py.Redis(host=LOOPBACK, port=server.port, db=database) as client:
        readers = {
            b"string": client.get,
            b"hash": client.hgetall,
            b"list": lambda key: client.lrange(key, 0, -1),
            b"set": client.smembers,
            b"zset": lambda key: client.zrange(key, 0, -1),
            b"stream": client.xrange,
        }
        for key in cast("list[bytes]", client.keys()):
            found[f"Redis {key.decode()}"] = key + repr(readers[cast("bytes", client.type(key))](key)).encode()
    return found


def files(root: Path, *besides: Path) -> Found:
    """Give all files below a folder."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path not in besides
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(
    redis_server: PrivateRedis,
    redis_user: None,
    rabbit_server: PrivateRabbit,
    vhosts: VhostPool,
    tmp_path_factory: pytest.TempPathFactory,
    cli_server: CliServer,
) -> AsyncIterator[Scene]:
    """An archiver that logs in to both brokers, after a bad night."""
    del redis_user
    folder = tmp_path_factory.mktemp("s")
    settings = short(REDIS_LOGIN=True, LEASE_TTL=1)
    rig = Rig(settings, redis=redis_server, rabbit=rabbit_server, vhost=vhosts.take(), parent=folder)
    try:
        async with rig:
            with WireTap(rig.rabbit, rig.vhost) as tap:
                played = Scene(ArchiverHarness(rig, tap), cli_server)
                played.write()
                await rig.start_workers()
                await a_bad_night(played)
                yield played
    finally:
        await rig.close()


async def a_bad_night(scene: Scene) -> None:
    """Let everything go wrong that has to do with a password, and look each time."""
    harness, rig = scene.harness, scene.rig
    await rig.start_controller().wait_ready()  # no camera: an image knows no password
    await harness.add_forwarder()
    await harness.enable()
    scene.search.seen |= processes()

    said = len(scene.log("health"))
    scene.write(redis=WRONG)
    await scene.crashed("health", "invalid username-password pair")
    scene.write(rabbit=WRONG)  # of Redis it is the right one again, and the health worker comes back
    await scene.crashed("bridge", "ACCESS_REFUSED")
    await scene.said("health", "page.ready", said)
    await scene.look("RabbitMQ refuses the password")

    rig.write_site(BASE_BROKER_ADDR=f"{LOOPBACK}:{free_port()}/%2fnone")
    await scene.crashed("bridge", "refused")
    rig.write_site(BASE_BROKER_ADDR=rig.rabbit.address_of(rig.vhost))

    credentials = rig.folder.credentials / "iip_cred.yaml"
    credentials.write_text(f"rabbitmq_users: [{rig.rabbit.password}", encoding="utf-8")
    await scene.crashed("bridge", "not valid YAML")
    said = len(scene.log("bridge"))
    with harness.redis() as client:
        client.rename(keys.SESSION, "kept")
        client.set(keys.SESSION, "not a hash")
    scene.write()
    await scene.said("bridge", "Traceback", said)  # supervisord tries again by itself


async def test_what_is_looked_for_would_be_found(scene: Scene) -> None:
    path = scene.rig.folder.credentials / "iip_cred.yaml"
    found = scene.search.hits(files(path.parent))
    assert found == ["iip_cred.yaml: password 0 as it is", "iip_cred.yaml: password 1 as it is"]
    own = os.getpid()
    assert f"cmdline of {own}" in scene.search.seen
    assert scene.search.hits({"encoded": base64.b64encode(WRONG.encode())}) == ["encoded: password 2 in base64"]


async def test_no_password_is_in_what_was_printed_served_or_shown_of_a_process(scene: Scene) -> None:
    seen = scene.search.seen
    assert any("page /events" in where for where in seen)
    assert any("RabbitMQ refuses the password: ccarchiver doctor" in where for where in seen)
    assert scene.search.hits(seen) == []


async def test_no_password_is_in_a_file_but_the_one_for_it(scene: Scene) -> None:
    found = files(scene.rig.folder.root, scene.rig.folder.credentials / "iip_cred.yaml")
    logs = b"".join(text for where, text in found.items() if where.startswith("logs/"))
    for sign in (b"ACCESS_REFUSED", b"invalid username-password pair", b"not valid YAML", b"Traceback"):
        assert sign in logs, "it did not go wrong, so nothing was shown by finding nothing"
    assert scene.search.hits(found) == []
    assert scene.search.hits(files(scene.rig.rabbit.folder, scene.rig.rabbit.folder / "definitions.json")) == []


async def test_no_password_is_in_redis_or_on_sal(scene: Scene) -> None:
    held = contents(scene.rig.redis, 14)
    assert f"Redis {keys.CSC}" in held
    assert scene.search.hits(held) == []
    events = {f"event {event.order}": repr(event.fields).encode() for event in scene.harness.sal.events}
    assert scene.harness.sal.state is not None
    assert scene.harness.sal.state is not salobj.State.OFFLINE
    assert scene.search.hits(events) == []
