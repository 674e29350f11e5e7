"""A reading as metric families: names with a base unit, labels with few and known values, none for each image."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)

from ccarchiver_core.domain.session import Pairing
from ccarchiver_core.status.alarms import ALARM_NAMES, Severity
from ccarchiver_core.store.csc_state import STATE_NAMES
from ccarchiver_core.store.ledger import ImageState
from ccarchiver_core.store.stage_durations import BOUNDS_S
from ccarchiver_health.metrics import counters

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from ccarchiver_core.keys import Worker
    from ccarchiver_core.runtime.heartbeat import Heartbeat
    from ccarchiver_core.status.overview import Overview, PairingView, WorkerView
    from ccarchiver_health.metrics.reading import Reading

BUCKETS = (*(str(bound) for bound in BOUNDS_S), "+Inf")
"""Upper bounds as Prometheus writes them."""


def families_of(reading: Reading) -> Iterator[Metric]:
    """Give every family of a reading; without Redis only what is known without it."""
    view = reading.view
    yield InfoMetricFamily("ccarchiver_build", "The archiver.", {"version": view.version, "archiver": view.archiver})
    yield _gauge("collected_timestamp_seconds", "When these metrics were read from Redis, Unix time.", view.at)
    yield _gauge("collection_duration_seconds", "How long reading them took.", reading.took_s)
    yield _gauge("redis_up", "Whether Redis answers.", view.redis.answers)
    yield from _alarms(reading)
    if not view.redis.answers:
        return
    yield from _redis(view)
    yield from counters.families(view.counters)
    yield _durations(reading)
    yield from _images(reading)
    yield from _csc(view)
    if view.pairing is not None:
        yield from _pairing(view.pairing)
    yield from _workers(view.workers, reading.starts)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"ccarchiver_{name}", text, value=value)


def _labelled(name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"ccarchiver_{name}", text, labels=[label])
    for label_value, value in values.items():
        family.add_metric([label_value], value)
    return family


def _each(name: str, text: str, values: Mapping[Worker, float]) -> GaugeMetricFamily:
    return _labelled(name, text, "worker", {worker.value: value for worker, value in values.items()})


def _one_of(name: str, text: str, names: Iterable[str], current: str | None) -> GaugeMetricFamily:
    """Give a series for each state, 1 for the current one and 0 for the others."""
    return _labelled(name, text, "state", {state: float(state == current) for state in names})


def _alarms(reading: Reading) -> Iterator[Metric]:
    active = {alarm.name for alarm in reading.alarms}
    names = dict.fromkeys((*ALARM_NAMES, *sorted(active)))  # a fault may have a code that is not one of ours
    text = "Whether an alarm of ccarchiver status is active; each has an entry in docs/operations/."
    yield _labelled("alarm_active", text, "alarm", {name: float(name in active) for name in names})
    count = {severity.value: sum(alarm.severity is severity for alarm in reading.alarms) for severity in Severity}
    yield _labelled("alarms", "Active alarms, by severity.", "severity", count)


def _redis(view: Overview) -> Iterator[Metric]:
    redis = view.redis
    yield _gauge("redis_ping_duration_seconds", "How long Redis took to answer a PING.", redis.latency_s)
    yield _gauge("redis_memory_used_bytes", "Memory Redis uses.", redis.used_memory_bytes)
    yield _gauge("redis_durable", "Whether Redis writes each change to its append-only file.", redis.is_durable)


def _durations(reading: Reading) -> Metric:
    family = HistogramMetricFamily(
        "ccarchiver_stage_duration_seconds",
        "Stages of images: send_… by the archiver, answer_…, retrieve and ingest by its peers, image for the whole.",
        labels=["stage"],
    )
    for measure, histogram in reading.durations.items():
        cumulated = itertools.accumulate(histogram.counts)
        family.add_metric([measure.value], list(zip(BUCKETS, cumulated, strict=True)), histogram.total_s)
    return family


def _images(reading: Reading) -> Iterator[Metric]:
    view = reading.view
    yield _gauge("unfinished_images", "Accepted images that are not at their end.", view.unfinished)
    yield _gauge("stalled_images", "Unfinished images that are stalled.", reading.unfinished[ImageState.STALLED])
    oldest = min((image.since for image in view.waiting), default=view.at)
    text = "How long the oldest unfinished image waits; 0 if there is none."
    yield _gauge("unfinished_oldest_age_seconds", text, max(0.0, view.at - oldest))
    yield _gauge("last_job_number", "JOB_NUM of the newest accepted image.", view.counters.get("job", 0))
    yield _gauge("dead_letters_kept", "Dead letters that are there now.", view.dead_letters)


def _csc(view: Overview) -> Iterator[Metric]:
    csc = view.csc
    state = csc.state if csc is not None else None
    yield _one_of("csc_state", "Summary state of the CSC, as it last wrote it.", STATE_NAMES.values(), state)
    if csc is not None:
        text = "Error code of the CSC's fault; 0 while it is in none."
        yield _gauge("csc_error_code", text, csc.error_code)
        yield _gauge("csc_seen_timestamp_seconds", "The CSC's last sign of life, Unix time.", csc.seen_at)


def _pairing(pairing: PairingView) -> Iterator[Metric]:
    yield _gauge("session_wanted", "Whether a session is in force.", pairing.is_active)
    yield _one_of("pairing_state", "How far the pairing of the session is.", Pairing, pairing.pairing)
    yield _gauge("pairing_epoch", "Number of the pairing in force; each Forwarder asked raises it.", pairing.epoch)
    if pairing.hostname:
        text = "Seconds the paired Forwarder's presence key has left; 0 if it is not there."
        yield _gauge("forwarder_presence_ttl_seconds", text, pairing.presence_ttl_s or 0.0)
        if pairing.since:
            yield _gauge(
                "forwarder_paired_timestamp_seconds", "When the Forwarder was paired, Unix time.", pairing.since
            )


def _workers(workers: list[WorkerView], starts: Mapping[Worker, int]) -> Iterator[Metric]:
    yield _each("mailbox_pending", "Letters a worker has not handled.", {w.worker: w.mailbox_depth for w in workers})
    ages = {w.worker: w.mailbox_oldest_s for w in workers}
    yield _each(
        "mailbox_oldest_age_seconds", "Age of the oldest letter a worker has not handled; 0 if there is none.", ages
    )
    yield _each(
        "worker_up", "Whether a worker shows life.", {w.worker: float(w.heartbeat is not None) for w in workers}
    )
    family = CounterMetricFamily("ccarchiver_worker_starts", "Times a worker has taken its lease.", labels=["worker"])
    for worker, count in starts.items():
        family.add_metric([worker.value], count)
    yield family
    living = {w.worker: w.heartbeat for w in workers if w.heartbeat is not None}
    yield _each(
        "worker_degraded",
        "Whether a worker says that something keeps it from its work.",
        {name: bool(v.degraded_reason) for name, v in living.items()},
    )
    errors = {name: v.last_error_at for name, v in living.items()}
    yield _each(
        "worker_last_error_timestamp_seconds", "When a worker last logged an error, Unix time; 0 for never.", errors
    )
    yield from _processes({name: v for name, v in living.items() if v.pid})  # without: of a version that tells nothing


def _processes(living: Mapping[Worker, Heartbeat]) -> Iterator[Metric]:
    started = {name: dt.datetime.fromisoformat(v.started).timestamp() for name, v in living.items() if v.started}
    memory = {name: v.rss_bytes for name, v in living.items()}
    share = {name: v.cpu_share for name, v in living.items()}
    files = {name: v.open_files for name, v in living.items()}
    yield _each("worker_start_time_seconds", "When a worker's process began, Unix time.", started)
    yield _each("worker_resident_memory_bytes", "Resident memory of a worker's process.", memory)
    yield _each("worker_cpu_ratio", "Share of one core a worker used lately.", share)
    yield _each("worker_open_files", "Files and sockets a worker has open.", files)
    yield _each("worker_threads", "Threads of a worker's process.", {name: v.threads for name, v in living.items()})
    versions = InfoMetricFamily("ccarchiver_worker", "Where a worker runs, and its version.", labels=["worker"])
    for name, heartbeat in living.items():
        versions.add_metric([name.value], {"version": heartbeat.version, "host": heartbeat.host})
    yield versions
