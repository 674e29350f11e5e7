"""The users for a site's Redis: `ccarchiver` can do the archiver's work and no harm.

The tests log in explicitly; tests/integration/test_encrypted.py covers REDIS_LOGIN.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ccarchiver_cli.doctor import redis_data, redis_server
from ccarchiver_cli.doctor.finding import Level
from ccarchiver_core import keys
from ccarchiver_core.config.settings import Settings, load_settings
from ccarchiver_core.domain.worker_messages import SessionStarted
from ccarchiver_core.keys import Worker
from ccarchiver_core.redis.replies import text, transact
from ccarchiver_core.runtime.heartbeat import read_heartbeat
from ccarchiver_core.runtime.worker import WorkerContext
from ccarchiver_core.store.set_aside import set_aside
from ccarchiver_core.store.transaction import Outcome, Transaction
from ccarchiver_sim.testbed.brokers import PrivateRedis
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK
from tests.cli.doctor.doctor_helpers import only, run_check, site_of
from tests.core.redis_helpers import enqueue, site
from tests.health.exposition import scrape
from tests.health.metrics_scenario import running_scenario
from tests.support.brokers import empty

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ccarchiver_sim.testbed.brokers import PrivateRabbit

ROOT = Path(__file__).parent.parent.parent
USERS = ROOT / "deploy" / "redis-users.acl"
CONFIGURATION = ROOT / "deploy" / "redis.conf"
USER = "ccarchiver"
PASSWORD = secrets.token_urlsafe()
PRESENCE = "f99_association"

pytestmark = pytest.mark.processes


def lines() -> dict[str, str]:
    """Return the line of each user."""
    return {line.split()[1]: line for line in USERS.read_text(encoding="utf-8").splitlines()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRedis]:
    """A Redis with the file's users; `ccarchiver` is enabled as the page describes."""
    folder = tmp_path_factory.mktemp("users")
    ready = f"user {USER} on #{hashlib.sha256(PASSWORD.encode()).hexdigest()} "
    users = USERS.read_text(encoding="utf-8").replace(f"user {USER} off resetpass ", ready)
    assert ready in users
    (folder / "users.acl").write_text(users, encoding="utf-8")
    with PrivateRedis(folder, users=folder / "users.acl") as started:
        yield started


def log_in(client: Redis) -> None:
    """Make a client log in as the user whenever it connects."""
    client.connection_pool.connection_kwargs.update(username=USER, password=PASSWORD)


@pytest_asyncio.fixture
async def archiver(server: PrivateRedis) -> AsyncIterator[Redis]:
    """A client logged in as the archiver's user, on an empty database."""
    empty(server)
    database = Settings().archiver_redis_db
    async with Redis(
        host=LOOPBACK, port=server.port, db=database, username=USER, password=PASSWORD
    ) as client:
        yield client


@asynccontextmanager
async def worker_context(worker: Worker, settings: Settings) -> AsyncIterator[WorkerContext]:
    """Run a worker context that is logged in and holds its lease."""
    context = WorkerContext(worker, settings)
    for client in (context.redis, context._blocking_redis):
        log_in(client)
    try:
        await context.lease.acquire()
        yield context
    finally:
        await context.close()


async def test_archiver_user_can_use_transactions_lease_mailbox_and_heartbeat(
    server: PrivateRedis, archiver: Redis
) -> None:
    settings = site(server.port)
    async with worker_context(Worker.HEALTH, settings) as context:
        transaction = (
            Transaction()
            .command("SETEX", settings.association_key, 10, "f99")
            .command("RPUSH", keys.FORWARDER_LIST, "entry")
        )
        assert await context.transactions.apply(transaction.count("anything")) is Outcome.APPLIED
        await enqueue(archiver, Worker.HEALTH, SessionStarted(session_id="one"))
        entries = [entry for _ in range(2) for entry in await context.mailbox.read()]
        assert [entry.message for entry in entries] == [SessionStarted(session_id="one")]
        assert (
            await context.transactions.apply(Transaction().ack(Worker.HEALTH, entries[0].id))
            is Outcome.APPLIED
        )
        assert await context.redis.exists(PRESENCE) == 0
        assert (
            await context.redis.lmove(keys.FORWARDER_LIST, keys.PAIRING_CANDIDATE, "RIGHT", "LEFT")
            == b"entry"
        )
        await transact(context.redis, ("SET", "ccarchiver:any", 1), ("DEL", "ccarchiver:any"))
    assert await archiver.exists(Worker.HEALTH.lease) == 0, "released"


async def test_archiver_user_can_set_aside_keys_that_a_person_has_changed(
    server: PrivateRedis, archiver: Redis
) -> None:
    for key in (keys.FORWARDER_LIST, keys.IMAGES, Worker.HEALTH.applied):
        await archiver.set(key, "x")
    await archiver.hset(keys.COUNTERS, "n", "x")
    async with worker_context(Worker.HEALTH, site(server.port)) as context:
        transaction = Transaction().command("RPUSH", keys.FORWARDER_LIST, "entry").count("n")
        transaction.command("ZADD", keys.IMAGES, 1, "image")
        assert await context.transactions.apply(transaction) is Outcome.APPLIED
        await archiver.set(keys.QUEUES_TO_PURGE, "x")
        await set_aside(context.redis, keys.QUEUES_TO_PURGE)
    assert await archiver.hlen(keys.UNREADABLE) == 5


@pytest.mark.parametrize(
    "example", sorted((ROOT / "deploy" / "examples").glob("*.yaml")), ids=lambda path: path.stem
)
async def test_sister_archiver_may_write_its_association_key(
    archiver: Redis, example: Path
) -> None:
    settings = load_settings(example)
    assert await archiver.set(
        settings.association_key, "a-forwarder", ex=settings.beacon.seconds_to_expire
    )


async def test_whole_image_is_archived_under_the_same_rules(
    rabbit_server: PrivateRabbit, fresh_vhost: str, tmp_path: Path
) -> None:
    """Run without a login, so the rules apply to `default`; the test also plays the Forwarder."""
    rules = lines()[USER].split("resetpass ", 1)[1]
    path = tmp_path / "users.acl"
    path.write_text(f"user default on nopass {rules} ~{PRESENCE}\n", encoding="utf-8")
    with PrivateRedis(tmp_path, users=path) as restricted:
        async with running_scenario(restricted, rabbit_server, fresh_vhost) as scenario:
            await scenario.complete("one")
            record = await scenario.harness.record("one")
            assert record["state"] == "complete"
            assert await read_heartbeat(scenario.harness.redis, Worker.BRIDGE) is not None
            assert (await scrape(scenario.harness.redis, scenario.harness.settings)).samples
            checks = (
                redis_server.reach,
                redis_server.persistence,
                redis_server.memory,
                redis_server.clock,
            )
            for check in (*checks, redis_data.database):
                # In a thread, because the check runs its own event loop.
                finding = only(await asyncio.to_thread(run_check, check, site_of(restricted)))
                assert finding.level is not Level.FAILURE, finding
            with pytest.raises(exceptions.NoPermissionError):
                await scenario.harness.redis.flushdb()


@pytest.mark.parametrize(
    "words",
    [
        "FLUSHALL",
        "FLUSHDB",
        "SWAPDB 14 1",
        "KEYS *",
        "CONFIG SET appendfsync no",
        "CONFIG REWRITE",
        "CONFIG RESETSTAT",
        "SHUTDOWN NOSAVE",
        "SAVE",
        "BGSAVE",
        "BGREWRITEAOF",
        "REPLICAOF NO ONE",
        "FAILOVER",
        "MODULE LIST",
        "CLIENT LIST",
        "CLIENT KILL TYPE normal",
        "CLIENT PAUSE 1",
        "MONITOR",
        "SCRIPT FLUSH",
        "SCRIPT KILL",
        "FUNCTION FLUSH",
        "FUNCTION LOAD code",
        "EVAL return 0",
        "ACL LIST",
        "ACL SETUSER ccarchiver +@all",
        "PUBLISH channel text",
        "GET another_key",
        "SET another_key 1",
        "DEL another_key",
        "RENAME ccarchiver:session another_key",
        "COPY ccarchiver:session another_key",
        "SET f99_association pong",
        "DEL f99_association",
    ],
)
async def test_archiver_user_cannot_run_harmful_commands(archiver: Redis, words: str) -> None:
    with pytest.raises(exceptions.NoPermissionError):
        await archiver.execute_command(*words.split())  # type: ignore[no-untyped-call]  # redis-py has no type there


async def test_archiver_user_cannot_run_debug(server: PrivateRedis) -> None:
    """Use ACL DRYRUN: Redis disables DEBUG for all users and reports that first."""
    async with Redis(host=LOOPBACK, port=server.port) as default:
        assert await default.acl_dryrun(USER, "DEBUG", "SLEEP", "0") != b"OK"
        assert await default.acl_dryrun(USER, "PING") == b"OK"


@pytest.mark.parametrize(
    ("call", "reason"), [("'FLUSHDB'", "command"), ("'SET', 'another_key', '1'", "key")]
)
async def test_script_has_no_more_rights_than_its_user(
    server: PrivateRedis, archiver: Redis, call: str, reason: str
) -> None:
    """Read the reason from the ACL log: the error differs between Redis 7.0, 7.2 and 8.0."""
    await archiver.set("ccarchiver:kept", 1)
    async with Redis(host=LOOPBACK, port=server.port, db=Settings().archiver_redis_db) as default:
        await default.acl_log_reset()
        script = archiver.register_script(f"return redis.call({call})")
        with pytest.raises(exceptions.ResponseError):
            await script()
        [refusal] = await default.acl_log()
        assert [text(refusal[name]) for name in ("username", "reason")] == [USER, reason]
        assert text(refusal["context"]) != "toplevel", "rejected within the script"
        assert await default.keys() == [b"ccarchiver:kept"]


async def test_forwarders_still_connect_without_a_password(server: PrivateRedis) -> None:
    async with Redis(
        host=LOOPBACK, port=server.port, db=Settings().forwarder_redis_db
    ) as forwarder:
        await forwarder.set(PRESENCE, "pong", ex=10)
        await forwarder.flushdb()
        assert text(await forwarder.acl_whoami()) == "default"


async def test_users_file_without_a_password_allows_no_login(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path, users=USERS) as as_it_is:
        for password in ("", PASSWORD):
            once = Retry(NoBackoff(), 0)
            login = Redis(
                host=LOOPBACK, port=as_it_is.port, username=USER, password=password, retry=once
            )
            async with login as client:
                with pytest.raises(exceptions.AuthenticationError):
                    await client.ping()


def test_users_file_has_the_configured_keys_and_redis_conf_names_it() -> None:
    patterns = {word for word in lines()[USER].split() if "~" in word}
    assert patterns == {
        "~ccarchiver:*",
        f"~*{Settings().association_key.removeprefix('cc')}",
        f"~{keys.FORWARDER_LIST}",
        "%R~*_association",
    }
    assert (
        f"# aclfile /etc/redis/{USERS.name}"
        in CONFIGURATION.read_text(encoding="utf-8").splitlines()
    )
