"""Mapping of the counters in Redis to metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily

from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.domain.file_status import StatusTopic
from ccarchiver_core.domain.image_record import ImageState
from ccarchiver_core.keys import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class CounterMetric:
    """One counter metric, and the fields of `ccarchiver_core.keys.COUNTERS` that it shows.

    Parameters
    ----------
    name : `str`
        Name without ``_total``, which prometheus_client adds.
    text : `str`
        Help text.
    fields : `dict`
        Field in Redis to value of the label. A metric without a label has one field, with an
        empty value.
    label : `str`
        Name of the label, empty if there is none.
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


OUTCOMES = (
    ImageState.COMPLETE,
    ImageState.FAILED,
    ImageState.SKIPPED,
    ImageState.UNANNOUNCED,
    ImageState.MISSED,
)
"""Image states that end an image. A failed image that is retried ends a second time."""

COUNTERS = (
    _one(
        "images_accepted",
        "Images accepted: their first event arrived while the CSC was ENABLED.",
        "images_accepted",
    ),
    CounterMetric(
        "ccarchiver_images",
        "Images that have ended, by outcome; unannounced: only a file status arrived; "
        "missed: taken by the camera and not accepted.",
        {f"images_{state}": state.value for state in OUTCOMES},
        "outcome",
    ),
    _one("images_stalled", "Times that an image became stalled (STALLED_AFTER).", "images_stalled"),
    _one("images_retried", "Failed images that an operator has retried.", "images_retried"),
    _one(
        "images_dismissed",
        "Missed images that an operator has dismissed.",
        "images_dismissed",
    ),
    _one("images_pruned", "Old finished images removed from the ledger.", "images_pruned"),
    _one(
        "duplicate_events",
        "SAL events of images that arrived again and changed nothing.",
        "duplicate_events",
    ),
    _one(
        "events_skipped",
        "SAL events of images that arrived while the CSC was not ENABLED.",
        "events_skipped",
    ),
    _one(
        "events_missed",
        "SAL events of images that were sent and never arrived.",
        "events_missed",
    ),
    _one(
        "exposures_refused",
        "Exposures not archived because their image name was used before.",
        "exposures_refused",
    ),
    _by_topic("statuses_reported", "File statuses published as SAL events.", "events"),
    _by_topic("statuses_failed", "Published file statuses that contain a failure.", "failures"),
    _by_topic(
        "duplicate_statuses",
        "File statuses that contained nothing new and were not published.",
        "duplicate_statuses",
    ),
    _one(
        "instructions_confirmed",
        "Instructions that RabbitMQ has confirmed.",
        "instructions_confirmed",
    ),
    _one(
        "instructions_replayed",
        "Instructions sent again for a new pairing or session.",
        "instructions_replayed",
    ),
    _one("resends", "Instructions sent again because their acknowledgement was late.", "resends"),
    _one(
        "unexpected_acks",
        "Acknowledgements without a pending ack: late, repeated or of an earlier pairing.",
        "unexpected_acks",
    ),
    _one(
        "rabbitmq_connections",
        "Connections opened to RabbitMQ: one for each session, the others are reconnects.",
        "rabbitmq_connections",
    ),
    _one("sessions_begun", "Sessions begun by the CSC's start command.", "sessions_begun"),
    _one("forwarders_paired", "Pairings with a Forwarder.", "forwarders_paired"),
    _one("forwarders_lost", "Paired Forwarders that were lost or released.", "forwarders_lost"),
    _one(
        "association_failures",
        "Association attempts that did not result in a pairing.",
        "association_failures",
    ),
    _one(
        "images_caught_up",
        "Missed images that were accepted later and are archived like others.",
        "images_caught_up",
    ),
    _one("scans_answered", "Answers of Forwarders to SCAN.", "scans_answered"),
    _one("scans_unanswered", "SCAN messages without an answer in time.", "scans_unanswered"),
    _one(
        "scan_answers_ignored",
        "Answers to SCAN that were repeated, or not expected.",
        "scan_answers_ignored",
    ),
    _one("dead_letters", "Dead letters written.", "dead_letters"),
    _one(
        "dead_letters_requeued",
        "Dead letters that an operator has requeued.",
        "dead_letters_requeued",
    ),
    _one(
        "dead_letters_trimmed",
        "Oldest dead letters removed because all together were too large.",
        "dead_letters_trimmed",
    ),
    _one(
        "records_unreadable",
        "Records in Redis that could not be read and became dead letters.",
        "records_unreadable",
    ),
    CounterMetric(
        "ccarchiver_faults",
        "Times that the CSC went to FAULT, by error code.",
        {f"faults:{code}": str(int(code)) for code in ErrorCode},
        "code",
    ),
    CounterMetric(
        "ccarchiver_watchdog_kills",
        "Hung workers that the watchdog has killed, or whose lease it has revoked.",
        {f"watchdog_kills:{worker}": worker.value for worker in Worker},
        "worker",
    ),
    CounterMetric(
        "ccarchiver_worker_crashes",
        "Unexpected exits of a worker's process, as supervisord saw them.",
        {f"worker_crashes:{worker}": worker.value for worker in Worker},
        "worker",
    ),
)

NO_COUNTERS = {"job": "the last job number, which is not a count"}
"""Fields of the same hash that are not counters, with the reason."""


def families(counters: Mapping[str, int]) -> Iterator[CounterMetricFamily]:
    """Yield every counter metric.

    A counter that was never raised is 0, so that Prometheus sees its first increase.
    """
    for metric in COUNTERS:
        family = CounterMetricFamily(
            metric.name, metric.text, labels=[metric.label] if metric.label else None
        )
        for name, value in metric.fields.items():
            family.add_metric([value] if metric.label else [], counters.get(name, 0))
        yield family
