"""The events with which a missed image is archived."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ccarchiver_core.domain.exposure import (
    EndReadout,
    EventKind,
    HeaderReady,
    StartIntegration,
)
from ccarchiver_core.domain.image_name import day_of
from ccarchiver_sal import event_validation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ccarchiver_core.domain.exposure import ExposureEvent

_log = structlog.get_logger(__name__)


def events_of_missed(
    obsid: str, known: Mapping[EventKind, ExposureEvent], header_url: str
) -> list[ExposureEvent]:
    """Return the events of a missed image: those that arrived, and others with what is known.

    Without a header's address the event of the header service is left out. The Forwarder then
    fetches the pixels and waits for the header.

    Parameters
    ----------
    obsid : `str`
        Name of the image.
    known : `~collections.abc.Mapping`
        Its events that arrived while the CSC was not ENABLED, or that were sent while it was down.
    header_url : `str`
        Address of its header, used if no event of the header service arrived; empty if not known.
    """
    start, end, header = (known.get(kind) for kind in EventKind)
    day = day_of(obsid)
    index, images, date = 0, 0, "" if day is None else f"{day:%Y%m%d}"
    for event in (end, start):  # the camera sends these fields in both events
        if isinstance(event, StartIntegration | EndReadout):
            index, images = event.image_index, event.images_in_sequence
            date = event.image_date or date
    if start is None:
        start = StartIntegration(
            image_name=obsid,
            image_index=index,
            images_in_sequence=images,
            image_date=date,
            exposure_time=0.0,
        )
    if end is None:
        end = EndReadout(
            image_name=obsid, image_index=index, images_in_sequence=images, image_date=date
        )
    if header is None and header_url:
        header = HeaderReady(url=header_url)
        reason = event_validation.validate(obsid, header)
        if reason:
            _log.error(
                "header.rejected",
                effect="the image is archived without a header",
                image=obsid,
                reason=reason,
            )
            header = None
    return [start, end] if header is None else [start, end, header]
