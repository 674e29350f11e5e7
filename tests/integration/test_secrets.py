"""Passwords are in the credentials file and nowhere else, even after faults."""

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
"""The wrong password is a secret too: usually it is the right one of another system."""

PAGES = ("", "api/snapshot", "healthz", "metrics")
COMMANDS = (
    ("config", "show"),
    ("status",),
    ("doctor",),
    ("logs",),
)

Found = dict[str, bytes]
"""Observed output, by its place."""


class Search:
    """All observed output of a run, and the secrets to search for."""

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
        """Return the places of a secret, but never the secret itself."""
        return [
            f"{where}: {what}"
            for where, text in found.items()
            for what, needle in self._needles.items()
            if needle in text
        ]


@pytest.fixture(scope="module")
def redis_user(redis_server: PrivateRedis) -> Iterator[None]:
    """Add a user with a password to the shared Redis; peers still use its default user."""
    with redis_py.Redis(host=LOOPBACK, port=redis_server.port) as client:
        client.flushall()
        client.acl_setuser(
            REDIS_USER,
            enabled=True,
            passwords=[f"+{REDIS_PASSWORD}"],
            keys=["*"],
            channels=["*"],
            categories=["+@all"],
        )
        yield
        client.acl_deluser(REDIS_USER)


class FaultScenario:
    """An archiver with known passwords, and the faults caused in it."""

    def __init__(self, harness: ArchiverHarness, cli_server: CliServer) -> None:
        self.harness = harness
        self._cli_server = cli_server
        self.rig = harness.rig
        self.search = Search(self.rig.rabbit.user, self.rig.rabbit.password, REDIS_PASSWORD, WRONG)

    def write(self, *, rabbit: str | None = None, redis: str = REDIS_PASSWORD) -> None:
        """Write the credentials file, by default with the right passwords."""
        user, right = self.rig.rabbit.user, self.rig.rabbit.password
        login = {"service_user": REDIS_USER, "service_passwd": redis}
        self.rig.folder.write_credentials(user, rabbit or right, redis_users=login)

    def log(self, worker: str) -> str:
        """Return the log of a worker."""
        return (self.rig.folder.logs / f"{worker}.out").read_text(encoding="utf-8")

    async def crashed(self, worker: str, wanted: str) -> None:
        """Abort a worker, and wait until its successor has logged a text."""
        before = len(self.log(worker))
        await polling.wait_for_async(lambda: self._signalled(worker), LIMIT_S, f"{worker} to run")
        await self.logged(worker, wanted, before)

    async def logged(self, worker: str, wanted: str, before: int) -> None:
        """Wait until a worker has logged a text after a position in its log."""
        await polling.wait_for(
            lambda: wanted in self.log(worker)[before:],
            LIMIT_S,
            lambda: (
                f"{wanted!r} from {worker}; the complete logs:\n"
                f"{self.log(worker)}\n{self.log('health')}"
            ),
        )

    async def _signalled(self, worker: str) -> bool:
        try:
            await asyncio.to_thread(self.rig.supervisor.signal_worker, worker, signal.SIGABRT)
        except ChildError:
            return False  # supervisord waits before it restarts the worker
        return True

    async def observe(self, when: str) -> None:
        """Collect all output visible to an operator, and the processes."""
        asked = [self._command(when, *words) for words in COMMANDS]
        await asyncio.gather(*asked, self._pages(when))
        self.search.seen |= {f"{when}: {where}": text for where, text in processes().items()}

    async def _command(self, when: str, *words: str) -> None:
        done = await asyncio.to_thread(self._cli_server.run, words, self.rig.env)
        output = done.stdout + done.stderr
        assert output
        self.search.seen[f"{when}: ccarchiver {' '.join(words)}"] = output.encode()

    async def _pages(self, when: str) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(scaled(LIMIT_S))) as session:
            for page in PAGES:
                async with session.get(self.rig.status_url + page) as answer:
                    self.search.seen[f"{when}: page /{page}"] = (
                        str(answer.headers).encode() + await answer.read()
                    )
            async with session.get(f"{self.rig.status_url}events") as answer:
                begin = await answer.content.readuntil(b"event: snapshot\n")
                self.search.seen[f"{when}: page /events"] = begin + await answer.content.readuntil(
                    b"\n\n"
                )


def processes() -> Found:
    """Return arguments and environment of every readable process of this machine."""
    found: Found = {}
    for process in psutil.process_iter():
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):  # it has ended, or belongs to another user
                found[f"{name} of {process.pid}"] = Path(f"/proc/{process.pid}/{name}").read_bytes()
    return found


def contents(server: PrivateRedis, database: int) -> Found:
    """Return all contents of a database of Redis."""
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
            found[f"Redis {key.decode()}"] = (
                key + repr(readers[cast("bytes", client.type(key))](key)).encode()
            )
    return found


def files(root: Path, *besides: Path) -> Found:
    """Return the contents of all files below a folder."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path not in besides
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scenario(
    redis_server: PrivateRedis,
    redis_user: None,
    rabbit_server: PrivateRabbit,
    vhosts: VhostPool,
    tmp_path_factory: pytest.TempPathFactory,
    cli_server: CliServer,
) -> AsyncIterator[FaultScenario]:
    """Start an archiver that logs in to both brokers, and cause all faults."""
    del redis_user
    folder = tmp_path_factory.mktemp("s")
    settings = short(REDIS_LOGIN=True, LEASE_TTL=1)
    rig = Rig(
        settings, redis=redis_server, rabbit=rabbit_server, vhost=vhosts.take(), parent=folder
    )
    try:
        async with rig:
            with WireTap(rig.rabbit, rig.vhost) as tap:
                ready = FaultScenario(ArchiverHarness(rig, tap), cli_server)
                ready.write()
                await rig.start_workers()
                await cause_faults(ready)
                yield ready
    finally:
        await rig.close()


async def cause_faults(scenario: FaultScenario) -> None:
    """Cause every fault that involves a password; collect all output after each."""
    harness, rig = scenario.harness, scenario.rig
    await rig.start_controller().wait_ready()  # no camera is needed: an image involves no password
    await harness.add_forwarder()
    await harness.enable()
    scenario.search.seen |= processes()

    position = len(scenario.log("health"))
    scenario.write(redis=WRONG)
    await scenario.crashed("health", "invalid username-password pair")
    scenario.write(rabbit=WRONG)  # the Redis password is right again, so the health worker restarts
    await scenario.crashed("bridge", "rejects the user or the password")
    await scenario.logged("health", "page.ready", position)
    await scenario.observe("RabbitMQ rejects the password")

    rig.write_site(BASE_BROKER_ADDR=f"{LOOPBACK}:{free_port()}/%2fnone")
    await scenario.crashed("bridge", "refused")
    rig.write_site(BASE_BROKER_ADDR=rig.rabbit.address_of(rig.vhost))

    credentials = rig.folder.credentials / "iip_cred.yaml"
    credentials.write_text(f"rabbitmq_users: [{rig.rabbit.password}", encoding="utf-8")
    await scenario.crashed("bridge", "not valid YAML")
    with harness.redis() as client:  # a record that cannot be read is shown, and stops no worker
        client.rename(keys.SESSION, "kept")
        client.set(keys.SESSION, "not a hash")
    scenario.write()
    await scenario.crashed("bridge", "worker.starting")
    await scenario.observe("an unreadable session")


async def test_search_finds_a_secret_that_is_present(scenario: FaultScenario) -> None:
    path = scenario.rig.folder.credentials / "iip_cred.yaml"
    found = scenario.search.hits(files(path.parent))
    assert found == ["iip_cred.yaml: password 0 as it is", "iip_cred.yaml: password 1 as it is"]
    own = os.getpid()
    assert f"cmdline of {own}" in scenario.search.seen
    assert scenario.search.hits({"encoded": base64.b64encode(WRONG.encode())}) == [
        "encoded: password 2 in base64"
    ]


async def test_no_password_is_in_output_pages_or_process_lists(scenario: FaultScenario) -> None:
    seen = scenario.search.seen
    assert any("page /events" in where for where in seen)
    assert any("RabbitMQ rejects the password: ccarchiver doctor" in where for where in seen)
    assert scenario.search.hits(seen) == []


async def test_no_password_is_in_a_file_other_than_the_credentials(scenario: FaultScenario) -> None:
    found = files(scenario.rig.folder.root, scenario.rig.folder.credentials / "iip_cred.yaml")
    logs = b"".join(text for where, text in found.items() if where.startswith("logs/"))
    for sign in (
        b"rejects the user or the password",
        b"invalid username-password pair",
        b"not valid YAML",
    ):
        assert sign in logs, "the fault did not occur, so the search proves nothing"
    assert scenario.search.hits(found) == []
    assert (
        scenario.search.hits(
            files(scenario.rig.rabbit.folder, scenario.rig.rabbit.folder / "definitions.json")
        )
        == []
    )


async def test_no_password_is_in_redis_or_on_sal(scenario: FaultScenario) -> None:
    held = contents(scenario.rig.redis, 14)
    assert f"Redis {keys.CSC}" in held
    assert scenario.search.hits(held) == []
    events = {
        f"event {event.order}": repr(event.fields).encode() for event in scenario.harness.sal.events
    }
    assert scenario.harness.sal.state is not None
    assert scenario.harness.sal.state is not salobj.State.OFFLINE
    assert scenario.search.hits(events) == []
