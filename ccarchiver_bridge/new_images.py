"""Which images are certainly new to the bridge: their records need not be read from Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccarchiver_core.domain.worker_messages import ExposureEventMessage


class NewImages:
    """Detects images for which neither this process nor an earlier one can have sent anything.

    Parameters
    ----------
    highest_job : `int`
        The highest job number that an earlier process can have handled.
    """

    def __init__(self, highest_job: int = 0) -> None:
        self._highest_job = highest_job

    def add(self, job: int) -> None:
        """Record that an image with this job number is being handled."""
        self._highest_job = max(self._highest_job, job)

    def is_new(self, message: ExposureEventMessage, *, is_first_delivery: bool) -> bool:
        """Return whether the image of a message is certainly new.

        All of three must hold. The message was not delivered before, so nothing was done about it.
        The ledger had no record of the image before its event. Its job number is higher than any
        that was handled, and job numbers rise.
        """
        return is_first_delivery and message.is_new_image and message.job > self._highest_job
