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
        Its events that arrived while the CSC was not ENABLED.
    header_url : `str`
        Address of its header, used if no event of the header service arrived; empty if not known.
    """
    day = day_of(obsid)
    date = "" if day is None else f"{day:%Y%m%d}"
    start = known.get(EventKind.START) or StartIntegration(
        image_name=obsid, image_index=0, images_in_sequence=0, image_date=date, exposure_time=0.0
    )
    end = known.get(EventKind.END) or EndReadout(
        image_name=obsid, image_index=0, images_in_sequence=0, image_date=date
    )
    header = known.get(EventKind.HEADER)
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
