"""The log line about images that are found to be missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ccarchiver_core.domain.image_record import MissedImage

_log = structlog.get_logger(__name__)


def log_missed(images: Sequence[MissedImage]) -> None:
    """Log images that are found to be missed, in one line.

    It is no error of the worker: the alarm ``images_missed`` reports them.
    """
    _log.warning(
        "images.missed",
        effect="these images are not archived",
        count=len(images),
        first=images[0].obsid,
        last=images[-1].obsid,
        found_by=images[0].missed_by.value,
        remedy="ccarchiver catchup",
    )
