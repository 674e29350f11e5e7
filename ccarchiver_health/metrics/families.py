"""Conversion of a reading to metric families.

Names have a base unit. Labels have few and known values; none is the name of an image.
"""

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

from ccarchiver_core.domain.image_record import ImageState
from ccarchiver_core.domain.session import Pairing
from ccarchiver_core.status.alarms import ALARM_NAMES, Severity
from ccarchiver_core.store.csc_state import STATE_NAMES
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
"""Upper bounds of the histogram buckets in Prometheus' notation."""


def families_of(reading: Reading) -> Iterator[Metric]:
    """Yield every family of a reading.

    While Redis is unavailable, the families whose values come from it are omitted.
    """
    view = reading.view
    yield InfoMetricFamily(
        "ccarchiver_build",
        "Version and name of the archiver.",
        {"version": view.version, "archiver": view.archiver},
    )
    yield _gauge(
        "collected_timestamp_seconds",
        "Unix time at which these metrics were read from Redis.",
        view.at,
    )
    yield _gauge(
        "collection_duration_seconds", "Time that reading these metrics took.", reading.took_s
    )
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
    return _labelled(
        name, text, "worker", {worker.value: value for worker, value in values.items()}
    )


def _one_of(name: str, text: str, names: Iterable[str], current: str | None) -> GaugeMetricFamily:
    """Return one series for each state: 1 for the current one and 0 for the others."""
    return _labelled(name, text, "state", {state: float(state == current) for state in names})


def _alarms(reading: Reading) -> Iterator[Metric]:
    active = {alarm.name for alarm in reading.alarms}
    # The name of an alarm has the error code of a fault, which may be an unknown one.
    names = dict.fromkeys((*ALARM_NAMES, *sorted(active)))
    text = "Whether an alarm of ccarchiver status is active; each has an entry in docs/operations/."
    yield _labelled("alarm_active", text, "alarm", {name: float(name in active) for name in names})
    count = {
        severity.value: sum(alarm.severity is severity for alarm in reading.alarms)
        for severity in Severity
    }
    yield _labelled("alarms", "Active alarms, by severity.", "severity", count)


def _redis(view: Overview) -> Iterator[Metric]:
    redis = view.redis
    yield _gauge(
        "redis_ping_duration_seconds", "Time that Redis took to answer a PING.", redis.latency_s
    )
    yield _gauge("redis_memory_used_bytes", "Memory that Redis uses.", redis.used_memory_bytes)
    yield _gauge(
        "redis_durable",
        "Whether Redis writes each change to its append-only file.",
        redis.is_durable,
    )


def _durations(reading: Reading) -> Metric:
    family = HistogramMetricFamily(
        "ccarchiver_stage_duration_seconds",
        "Stage durations; send_…: archiver; answer_…, retrieve and ingest: peers; image: in total.",
        labels=["stage"],
    )
    for stage, histogram in reading.durations.items():
        cumulated = itertools.accumulate(histogram.counts)
        family.add_metric(
            [stage.value], list(zip(BUCKETS, cumulated, strict=True)), histogram.total_s
        )
    return family


def _images(reading: Reading) -> Iterator[Metric]:
    view = reading.view
    yield _gauge(
        "unfinished_images",
        "Accepted images that are neither complete nor failed.",
        view.unfinished,
    )
    yield _gauge(
        "stalled_images",
        "Unfinished images that are stalled.",
        reading.unfinished[ImageState.STALLED],
    )
    yield _gauge(
        "missed_images",
        "Missed images of the last two days, which the camera may still have.",
        view.missed.count,
    )
    yield _gauge(
        "last_scan_answer_timestamp_seconds",
        "Unix time of the last answer to SCAN; 0 if there was none.",
        view.scan.answered_at,
    )
    oldest = min((image.since for image in view.waiting), default=view.at)
    text = "Time for which the oldest unfinished image has waited; 0 if there is none."
    yield _gauge("unfinished_oldest_age_seconds", text, max(0.0, view.at - oldest))
    yield _gauge(
        "last_job_number", "JOB_NUM of the newest accepted image.", view.counters.get("job", 0)
    )
    yield _gauge("dead_letters_kept", "Dead letters in Redis now.", view.dead_letters)


def _csc(view: Overview) -> Iterator[Metric]:
    csc = view.csc
    state = csc.state if csc is not None else None
    yield _one_of(
        "csc_state", "Summary state of the CSC, as it last wrote it.", STATE_NAMES.values(), state
    )
    if csc is not None:
        text = "Error code of the CSC's fault; 0 if it is not in FAULT."
        yield _gauge("csc_error_code", text, csc.error_code)
        yield _gauge(
            "csc_seen_timestamp_seconds",
            "Unix time at which the CSC was last known to be alive.",
            csc.seen_at,
        )


def _pairing(pairing: PairingView) -> Iterator[Metric]:
    yield _gauge("session_active", "Whether a session is active.", pairing.is_active)
    yield _one_of("pairing_state", "State of the pairing of the session.", Pairing, pairing.pairing)
    yield _gauge(
        "pairing_epoch",
        "Number of the current pairing; each association attempt raises it.",
        pairing.epoch,
    )
    if pairing.hostname:
        text = "Seconds until the paired Forwarder's presence key expires; 0 if it does not exist."
        yield _gauge("forwarder_presence_ttl_seconds", text, pairing.presence_ttl_s or 0.0)
        if pairing.since:
            yield _gauge(
                "forwarder_paired_timestamp_seconds",
                "Unix time at which the Forwarder was paired.",
                pairing.since,
            )


def _workers(workers: list[WorkerView], starts: Mapping[Worker, int]) -> Iterator[Metric]:
    yield _each(
        "mailbox_pending",
        "Messages waiting in a worker's mailbox.",
        {w.worker: w.mailbox_depth for w in workers},
    )
    ages = {w.worker: w.mailbox_oldest_s for w in workers}
    yield _each(
        "mailbox_oldest_age_seconds",
        "Age of the oldest message waiting in a worker's mailbox; 0 if there is none.",
        ages,
    )
    yield _each(
        "worker_up",
        "Whether a worker has a heartbeat.",
        {w.worker: float(w.heartbeat is not None) for w in workers},
    )
    family = CounterMetricFamily(
        "ccarchiver_worker_starts", "Times that a worker has acquired its lease.", labels=["worker"]
    )
    for worker, count in starts.items():
        family.add_metric([worker.value], count)
    yield family
    living = {w.worker: w.heartbeat for w in workers if w.heartbeat is not None}
    yield _each(
        "worker_degraded",
        "Whether a worker reports that it cannot work.",
        {name: bool(v.degraded_reason) for name, v in living.items()},
    )
    errors = {name: v.last_error_at for name, v in living.items()}
    yield _each(
        "worker_last_error_timestamp_seconds",
        "Unix time at which a worker last logged an error with an effect on its work; 0 if never.",
        errors,
    )
    # A heartbeat without a pid is from a version that does not describe its process.
    yield from _processes({name: v for name, v in living.items() if v.pid})


def _processes(living: Mapping[Worker, Heartbeat]) -> Iterator[Metric]:
    started = {
        name: dt.datetime.fromisoformat(v.started).timestamp()
        for name, v in living.items()
        if v.started
    }
    memory = {name: v.rss_bytes for name, v in living.items()}
    share = {name: v.cpu_share for name, v in living.items()}
    files = {name: v.open_files for name, v in living.items()}
    yield _each(
        "worker_start_time_seconds", "Unix time at which a worker's process started.", started
    )
    yield _each("worker_resident_memory_bytes", "Resident memory of a worker's process.", memory)
    yield _each("worker_cpu_ratio", "Share of one core that a worker has used recently.", share)
    yield _each("worker_open_files", "Files and sockets that a worker has open.", files)
    yield _each(
        "worker_threads",
        "Threads of a worker's process.",
        {name: v.threads for name, v in living.items()},
    )
    versions = InfoMetricFamily(
        "ccarchiver_worker", "Version and host of a worker.", labels=["worker"]
    )
    for name, heartbeat in living.items():
        versions.add_metric([name.value], {"version": heartbeat.version, "host": heartbeat.host})
    yield versions
