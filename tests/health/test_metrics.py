"""The metrics of a scrape, from records that the workers' code has written."""

from __future__ import annotations

import ast
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys
from ccarchiver_core.base import clock
from ccarchiver_core.domain.file_status import StatusTopic
from ccarchiver_core.domain.image_record import ImageState, MissedBy, MissedImage, ReceivedEvent
from ccarchiver_core.keys import Worker
from ccarchiver_core.redis.replies import read_hash
from ccarchiver_core.status.alarms import ALARM_NAMES
from ccarchiver_core.store import scans
from ccarchiver_core.store.csc_state import STATE_NAMES
from ccarchiver_core.store.image_ledger import WAITING_PREFIX, ImageLedger
from ccarchiver_core.store.scans import Scan, ScanState
from ccarchiver_core.store.stage_durations import BOUNDS_S, Stage
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_health.housekeeping import Housekeeping
from ccarchiver_health.metrics import reading
from ccarchiver_health.metrics.counters import COUNTERS, NO_COUNTERS
from ccarchiver_sal.adapter import State
from ccarchiver_sim.testbed.brokers import PrivateRedis
from tests.bridge.harness import start_of
from tests.bridge.peer import ACKS
from tests.core.redis_helpers import counter, eventually, holding, looking_into, site
from tests.health.exposition import scrape
from tests.health.metrics_scenario import SENSORS, running_scenario

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ccarchiver_sim.testbed.brokers import PrivateRabbit
    from tests.health.metrics_scenario import MetricsScenario

ROOT = Path(__file__).parent.parent.parent
RUNNING = (
    "ccarchiver_core",
    "ccarchiver_sal",
    "ccarchiver_bridge",
    "ccarchiver_health",
    "ccarchiver_cli",
)


@pytest.fixture
async def scenario(
    fresh_redis: PrivateRedis, rabbit_server: PrivateRabbit, fresh_vhost: str
) -> AsyncIterator[MetricsScenario]:
    async with running_scenario(fresh_redis, rabbit_server, fresh_vhost) as ready:
        yield ready


async def test_new_archiver_has_every_counter_at_zero(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        seen = await scrape(redis, settings)

    assert all(name.startswith("ccarchiver_") for name in seen.names)
    for metric in COUNTERS:
        values = [
            value for (name, _), value in seen.samples.items() if name == f"{metric.name}_total"
        ]
        assert values == [0.0] * len(metric.fields), metric.name
        assert seen.kinds[metric.name] == "counter"
    assert seen.value("redis_up") == 1
    assert seen.labelled("worker_up", "worker") == {"sal": 0, "bridge": 0, "health": 0}
    assert seen.value("alarm_active", alarm="worker_unavailable") == 1


async def test_images_are_counted_by_outcome_and_their_messages_and_statuses_by_topic(
    scenario: MetricsScenario,
) -> None:
    await scenario.complete("one")
    await scenario.instruct("two")
    await scenario.report("two", StatusTopic.RETRIEVAL, code=7)
    await scenario.report("three", StatusTopic.IN_OODS, twice=True)
    transaction = Transaction()
    ImageLedger.fail(transaction, "two", "a test")
    await scenario.harness.sal.transactions.apply(transaction)

    seen = await scrape(scenario.harness.redis, scenario.harness.settings)

    assert seen.value("images_accepted_total") == 2
    assert seen.labelled("images_total", "outcome") == {
        "complete": 1,
        "failed": 1,
        "skipped": 0,
        "unannounced": 1,
        "missed": 0,
    }
    reported = {"imageRetrievalForArchiving": 18, "imageInOODS": 18}
    assert seen.labelled("statuses_reported_total", "topic") == reported
    assert seen.labelled("statuses_failed_total", "topic") == {
        "imageRetrievalForArchiving": 9,
        "imageInOODS": 0,
    }
    assert seen.labelled("duplicate_statuses_total", "topic") == {
        "imageRetrievalForArchiving": 0,
        "imageInOODS": 9,
    }
    assert seen.value("instructions_confirmed_total") == 8
    assert seen.value("instructions_replayed_total") == seen.value("resends_total") == 0
    assert seen.value("rabbitmq_connections_total") == 1
    assert seen.value("unfinished_images") == 0
    assert seen.value("last_job_number") == 0, "only the CSC's event intake sets it"


async def test_each_stage_of_a_complete_image_is_in_its_histogram_once(
    scenario: MetricsScenario,
) -> None:
    await scenario.complete("one")

    seen = await scrape(scenario.harness.redis, scenario.harness.settings)

    assert seen.kinds["ccarchiver_stage_duration_seconds"] == "histogram"
    assert seen.labelled("stage_duration_seconds_count", "stage") == {
        stage.value: 1 for stage in Stage
    }
    sums = seen.labelled("stage_duration_seconds_sum", "stage")
    for stage in Stage:
        places = [
            (float(dict(labels)["le"]), value)
            for (name, labels), value in seen.samples.items()
            if name == "ccarchiver_stage_duration_seconds_bucket"
            and ("stage", stage.value) in labels
        ]
        assert [bound for bound, _ in places] == [*BOUNDS_S, float("inf")]
        below = [value for _, value in places]
        assert below == sorted(below), "buckets are cumulative"
        assert below[-1] == 1
        upper = next(bound for bound, value in places if value)
        assert 0 <= sums[stage.value] <= upper


async def test_late_duplicate_and_bad_messages_are_counted(scenario: MetricsScenario) -> None:
    harness = scenario.harness
    harness.peer.send(
        ACKS,
        MSG_TYPE="CC_FWDR_END_READOUT_ACK",
        ACK_ID="not_pending",
        ACK_BOOL="TRUE",
        COMPONENT="F",
    )
    harness.peer.send_raw(ACKS, b"no message at all")

    async def both() -> bool:
        return (
            await counter(harness.redis, "unexpected_acks")
            + await counter(harness.redis, "dead_letters")
            == 2
        )

    await eventually(both, "an unexpected ack and a dead letter")
    seen = await scrape(harness.redis, harness.settings)

    assert (
        seen.value("unexpected_acks_total")
        == seen.value("dead_letters_total")
        == seen.value("dead_letters_kept")
        == 1
    )
    assert seen.value("alarm_active", alarm="dead_letters") == 1
    assert seen.labelled("alarms", "severity") == {"critical": 0, "warning": 1}


async def test_stalled_and_waiting_images_have_an_age(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port, STALLED_AFTER=100)
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as redis:
        for number, age_s in enumerate((500.0, 200.0, 0.0)):
            now, name = clock.now(), f"i{number}"
            then = clock.Instant(now.wall - age_s, now.boot, now.uptime - age_s)
            transaction = Transaction()
            received = ReceivedEvent(name, number, "s", start_of(name), then.wall)
            ImageLedger.record_event(transaction, received, ImageState.ACCEPTED, is_new=True)
            transaction.set_fields(keys.image(name), then.fields(WAITING_PREFIX))
            await context.transactions.apply(transaction)
        await Housekeeping(context).report_stalled()

        seen = await scrape(redis, settings)

    assert seen.value("unfinished_images") == 3
    assert seen.value("stalled_images") == seen.value("images_stalled_total") == 2
    assert seen.value("unfinished_oldest_age_seconds") >= 500
    assert seen.value("alarm_active", alarm="images_stalled") == 1


async def test_missed_images_and_the_last_scan_are_exposed(fresh_redis: PrivateRedis) -> None:
    settings = site(fresh_redis.port)
    async with holding(Worker.HEALTH, settings) as context, looking_into(settings) as redis:
        transaction = Transaction()
        missed = [MissedImage(f"i{number}", time.time(), MissedBy.SCAN) for number in range(2)]
        ImageLedger.record_missed(transaction, missed)
        scans.write(transaction, Scan(), number=1, state=ScanState.ANSWERED, answered_at=17.5)
        await context.transactions.apply(transaction)

        seen = await scrape(redis, settings)

    assert seen.value("missed_images") == 2
    assert seen.value("images_total", outcome="missed") == 2
    assert seen.value("last_scan_answer_timestamp_seconds") == 17.5
    assert seen.value("alarm_active", alarm="images_missed") == 1


async def test_state_of_csc_pairing_and_workers_is_exposed(scenario: MetricsScenario) -> None:
    before = time.time()
    await scenario.delete_heartbeat(Worker.HEALTH)
    await scenario.write_state(State.FAULT, 5753, "a test")

    seen = await scrape(scenario.harness.redis, scenario.harness.settings)

    assert seen.labelled("csc_state", "state") == {
        name: float(name == "FAULT") for name in STATE_NAMES.values()
    }
    assert seen.value("csc_error_code") == 5753
    assert seen.labelled("alarm_active", "alarm") == {
        name: float(name in ("fault_5753", "worker_unavailable")) for name in ALARM_NAMES
    }
    assert seen.labelled("pairing_state", "state") == {"none": 0, "searching": 0, "paired": 1}
    assert seen.value("pairing_epoch") == 1
    assert 0 < seen.value("forwarder_presence_ttl_seconds") <= 600
    assert seen.labelled("worker_up", "worker") == {"sal": 1, "bridge": 1, "health": 0}
    assert seen.labelled("worker_starts_total", "worker") == {"sal": 1, "bridge": 1, "health": 1}
    for name in (
        "start_time_seconds",
        "resident_memory_bytes",
        "cpu_ratio",
        "open_files",
        "threads",
    ):
        assert set(seen.labelled(f"worker_{name}", "worker")) == {"sal", "bridge"}, name
    assert seen.value("worker_resident_memory_bytes", worker="bridge") > 1_000_000
    assert seen.value("worker_start_time_seconds", worker="bridge") <= before
    assert set(seen.labelled("mailbox_pending", "worker")) == {"sal", "bridge", "health"}
    assert seen.value("mailbox_pending", worker="health") >= 0
    assert seen.value("redis_durable") == 1
    assert seen.value("redis_memory_used_bytes") > 0
    assert seen.value("collected_timestamp_seconds") >= before


async def test_counters_continue_after_a_restart_of_a_worker_and_of_redis(
    tmp_path: Path, rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    with PrivateRedis(tmp_path / "redis") as redis:
        async with running_scenario(redis, rabbit_server, fresh_vhost) as scenario:
            await scenario.complete("one")
            first = await scrape(scenario.harness.redis, scenario.harness.settings)

            redis.stop()
            redis.start()
            await scenario.restart_bridge()
            await scenario.complete("two")
            second = await scrape(scenario.harness.redis, scenario.harness.settings)

    shrunk = {key for key, value in first.cumulative.items() if second.cumulative[key] < value}
    assert not shrunk
    assert first.value("images_total", outcome="complete") == 1
    assert second.value("images_total", outcome="complete") == 2
    assert second.value("stage_duration_seconds_count", stage="image") == 2
    assert second.value("worker_starts_total", worker="bridge") == 2


async def test_no_series_has_a_label_for_an_image_peer_or_process(
    scenario: MetricsScenario,
) -> None:
    await scenario.complete("one")
    first = await scrape(scenario.harness.redis, scenario.harness.settings)
    for image in ("two", "three"):
        await scenario.complete(image)
    second = await scrape(scenario.harness.redis, scenario.harness.settings)

    assert first.samples.keys() == second.samples.keys()
    values = {value for _, labels in second.samples for _, value in labels}
    assert not values & {"one", "two", "three", "f99", *SENSORS}


@pytest.mark.processes
async def test_metrics_without_redis_report_it_down_and_nothing_stale(tmp_path: Path) -> None:
    with PrivateRedis(tmp_path / "redis") as server:
        settings = site(server.port)
        async with looking_into(settings) as redis:
            assert (await scrape(redis, settings)).value("redis_up") == 1
            server.stop()
            seen = await scrape(redis, settings)
            server.start()
            again = await scrape(redis, settings)

    assert seen.value("redis_up") == 0
    assert seen.value("alarm_active", alarm="redis_unavailable") == 1
    assert not seen.cumulative
    assert "ccarchiver_csc_state" not in seen.names
    assert again.value("redis_up") == 1


@pytest.mark.processes
async def test_metrics_of_a_hanging_redis_time_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "READ_LIMIT_S", 0.5)
    with PrivateRedis(tmp_path / "redis") as server:
        settings = site(server.port)
        async with looking_into(settings) as redis:
            server.freeze()
            seen = await scrape(redis, settings)
            server.thaw()

    assert seen.value("redis_up") == 0


def counted_in_the_code() -> Iterator[tuple[str, str]]:
    """Yield every counter field that the code increments, as a pattern, with its place."""
    for package in RUNNING:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.args
                ):
                    place = f"{path.relative_to(ROOT)}:{node.lineno}"
                    if node.func.attr == "count" and is_text(node.args[0]):
                        yield pattern_of(node.args[0]), place
                if (
                    isinstance(node, ast.Tuple)
                    and "HINCRBY" in ast.unparse(node)
                    and "COUNTERS" in ast.unparse(node)
                ):
                    yield pattern_of(node.elts[2]), f"{path.relative_to(ROOT)}:{node.lineno}"


def is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def pattern_of(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(
            ".+" if isinstance(part, ast.FormattedValue) else pattern_of(part)
            for part in node.values
        )
    assert isinstance(node, ast.Constant), ast.unparse(node)
    return re.escape(str(node.value))


def test_every_counter_in_the_code_is_a_metric_and_every_metric_is_counted() -> None:
    shown = {field for metric in COUNTERS for field in metric.fields}
    counted = dict(counted_in_the_code())
    assert len(counted) > 20

    for pattern, place in counted.items():
        assert any(re.fullmatch(pattern, field) for field in shown), (
            f"{place}: {pattern} is not a metric"
        )
    for field in shown - NO_COUNTERS.keys():
        assert any(re.fullmatch(pattern, field) for pattern in counted), f"{field} is never counted"


async def test_every_counter_field_written_by_the_workers_is_a_metric(
    scenario: MetricsScenario,
) -> None:
    await scenario.complete("one")
    written = set(await read_hash(scenario.harness.redis, keys.COUNTERS))

    assert written <= {field for metric in COUNTERS for field in metric.fields} | NO_COUNTERS.keys()
