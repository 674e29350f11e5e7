"""The counters in Redis as Prometheus sees them: which field is which metric."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily

from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.domain.worker_messages import StatusTopic
from ccarchiver_core.keys import Worker
from ccarchiver_core.store.ledger import ImageState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class CounterMetric:
    """One counter metric and the fields of `ccarchiver_core.keys.COUNTERS` it shows.

    Parameters
    ----------
    name : `str`
        Without ``_total``, which prometheus_client adds.
    text : `str`
        What it counts.
    fields : `dict`
        Field in Redis to the value of the label; a metric without label has one field, with an empty value.
    label : `str`
        Name of the label, empty for none.
    """

    name: str
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)
    label: str = ""


def _one(name: str, text: str, counter: str) -> CounterMetric:
    return CounterMetric(f"ccarchiver_{name}", text, {counter: ""})


def _by_topic(name: str, text: str, prefix: str) -> CounterMetric:
    fields = {f"{prefix}:{topic}": topic.value for topic in StatusTopic}
    return CounterMetric(f"ccarchiver_{name}", text, fields, "topic")


OUTCOMES = (ImageState.COMPLETE, ImageState.FAILED, ImageState.SKIPPED, ImageState.UNANNOUNCED)
"""Ends of an image; a failed one that is tried again comes to a second one."""

COUNTERS = (
    _one("images_accepted", "Images accepted: heard of first while the CSC was ENABLED.", "images_accepted"),
    CounterMetric(
        "ccarchiver_images",
        "Images that came to an end, by outcome; foreign: only a file status of it came, nobody announced it here.",
        {f"images_{state}": state.value for state in OUTCOMES},
        "outcome",
    ),
    _one("images_stalled", "Times an image was reported as stalled (STALLED_AFTER).", "images_stalled"),
    _one("images_retried", "Failed images an operator has tried again.", "images_retried"),
    _one("images_pruned", "Old finished images removed from the ledger.", "images_pruned"),
    _one("duplicate_events", "SAL events of images that came once more and changed nothing.", "duplicate_events"),
    _one("events_skipped", "SAL events of images that came while the CSC was not ENABLED.", "events_skipped"),
    _by_topic("statuses_reported", "File statuses put as SAL events.", "events"),
    _by_topic("statuses_failed", "Statuses of failure among those reported.", "failures"),
    _by_topic("duplicate_statuses", "File statuses that said nothing new and gave no event.", "duplicate_statuses"),
    _one("orders_confirmed", "Messages about images that RabbitMQ has confirmed.", "orders_confirmed"),
    _one("orders_replayed", "Messages about images sent anew for a new pairing or session.", "orders_replayed"),
    _one("resends", "Messages about images sent again because their answer was late.", "resends"),
    _one("unexpected_acks", "Answers that nobody owed: late, doubled or of an earlier pairing.", "unexpected_acks"),
    _one(
        "rabbitmq_connections",
        "Connections to RabbitMQ made; one for each session, the rest are reconnects.",
        "rabbitmq_connections",
    ),
    _one("sessions_begun", "Sessions begun by the CSC's start command.", "sessions_begun"),
    _one("forwarders_paired", "Pairings with a Forwarder.", "forwarders_paired"),
    _one("forwarders_lost", "Paired Forwarders given up.", "forwarders_lost"),
    _one("association_failures", "Forwarders asked that did not take the pairing.", "association_failures"),
    _one("dead_letters", "Dead letters ever written.", "dead_letters"),
    _one("dead_letters_requeued", "Dead letters an operator has sent the normal way again.", "dead_letters_requeued"),
    _one("dead_letters_trimmed", "Dead letters let go because all together were too large.", "dead_letters_trimmed"),
    CounterMetric(
        "ccarchiver_faults",
        "Times the CSC went to FAULT, by error code.",
        {f"faults:{code}": str(int(code)) for code in ErrorCode},
        "code",
    ),
    CounterMetric(
        "ccarchiver_watchdog_kills",
        "Hung workers that were ended by the one that watches them.",
        {f"watchdog_kills:{worker}": worker.value for worker in Worker},
        "worker",
    ),
    CounterMetric(
        "ccarchiver_worker_crashes",
        "Ends of a worker's process that nobody asked for, as supervisord saw them.",
        {f"worker_crashes:{worker}": worker.value for worker in Worker},
        "worker",
    ),
)

NO_COUNTERS = {"job": "the last job number: a number given, not a count of anything"}
"""Fields of the same hash that are no counters, with the reason."""


def families(counters: Mapping[str, int]) -> Iterator[CounterMetricFamily]:
    """Give every counter metric; one that was never raised is 0, so that a first raise is seen as one."""
    for metric in COUNTERS:
        family = CounterMetricFamily(metric.name, metric.text, labels=[metric.label] if metric.label else None)
        for name, value in metric.fields.items():
            family.add_metric([value] if metric.label else [], counters.get(name, 0))
        yield family
