"""What an image's last status tells about its whole way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_core.exposure import EventKind, Order, Sent
from ccarchiver_core.ledger import AT_PREFIX
from ccarchiver_core.mail import StatusTopic
from ccarchiver_core.measures import Measure, observe
from ccarchiver_core.statuses import DONE

if TYPE_CHECKING:
    from ccarchiver_core.step import Step

LAST_ORDERS = (Order.END_READOUT, Order.HEADER_READY)
"""When it has both, the Forwarder can fetch the image."""


def measure(step: Step, record: dict[str, str], now: float) -> None:
    """Add an image's durations to the step that completes it.

    Parameters
    ----------
    record : `dict`
        The image's ledger record before that step.
    now : `float`
        Unix time of the last status, UTC, seconds.
    """
    heard = [float(record[name]) for kind in EventKind if (name := f"{AT_PREFIX}{kind}") in record]
    told = [Sent.model_validate_json(record[order]).at for order in LAST_ORDERS if order in record]
    retrieved = float(record.get(f"{AT_PREFIX}{DONE[StatusTopic.RETRIEVAL]}", "0"))
    if heard:
        observe(step, Measure.IMAGE, now - max(heard))
    if retrieved and told and all(told):
        observe(step, Measure.RETRIEVE, retrieved - max(told))
    if retrieved:
        observe(step, Measure.INGEST, now - retrieved)
