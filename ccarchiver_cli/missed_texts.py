"""Texts about missed images and about scans, for an operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_cli.output import ago
from ccarchiver_core.config.value_types import CatchUp
from ccarchiver_core.domain.image_record import MissedBy
from ccarchiver_core.store.scans import ScanState

if TYPE_CHECKING:
    from ccarchiver_core.store.scans import Scan

FOUND_BY: dict[str, str] = {
    MissedBy.SCAN: "the Forwarder has listed it",
    MissedBy.NUMBERS: "its number is missing between two others",
}
"""What has shown that an image was missed."""

UNKNOWN = "what has shown it cannot be read"
"""Text about an image whose ``missed_by`` cannot be read; the next scan that lists it writes it."""

MODES = {
    CatchUp.OFF: "off: nothing is searched for",
    CatchUp.REPORT: "report: missed exposures are not archived",
    CatchUp.AUTOMATIC: "automatic: one at a time, while no exposure is in progress",
}
"""What happens to missed exposures, by the setting CATCH_UP."""


def scan_text(scan: Scan, now: float) -> str:
    """Return what is known of the last scan."""
    match scan.state:
        case ScanState.NONE:
            return "none yet"
        case ScanState.REQUESTED:
            return f"requested {ago(scan.requested_at, now)}, not sent yet"
        case ScanState.SENT:
            return f"sent to {scan.hostname} {ago(scan.sent_at, now)}, not answered yet"
        case ScanState.NOT_SENT:
            return f"could not be sent {ago(scan.requested_at, now)}; it is repeated"
        case ScanState.UNANSWERED:
            last = f"; last answer {ago(scan.answered_at, now)}" if scan.answered_at else ""
            return f"not answered by {scan.hostname}, {ago(scan.finished_at, now)}{last}"
        case ScanState.ANSWERED:
            return f"{scan.names} images, {ago(scan.finished_at, now)}{_remarks(scan)}"


def _remarks(scan: Scan) -> str:
    """Return what an answer contained besides images of this camera."""
    counts = (
        (scan.of_other_cameras, "of another camera (IMAGE_PREFIX)"),
        (scan.rejected, "with an impossible name (ccarchiver deadletter list --origin SCAN)"),
        (scan.unread, "not read, because there were too many"),
    )
    return "".join(f"; {count} {remark}" for count, remark in counts if count)
