"""Names of the archiver's own keys in Redis; the site file has those that it shares with peers."""

from __future__ import annotations

import enum

PREFIX = "ccarchiver:"
"""Prefix of all these keys."""

FORWARDER_LIST = "forwarder_list"
"""List: free Forwarders as JSON; they push on the left, the archiver pops from the right."""

SESSION = "ccarchiver:session"
"""Hash: the session; see `ccarchiver_core.store.session`."""

CSC = "ccarchiver:csc"
"""Hash: the state of the CSC, for a restart within RESUME_WINDOW."""

STATE_HISTORY = "ccarchiver:state_history"
"""Sorted set: the changes of the CSC's summary state as JSON, by time (Unix, UTC).

See `ccarchiver_core.store.state_history`."""

PAIRING_CANDIDATE = "ccarchiver:pairing_candidate"
"""List: the Forwarder with which an association is attempted; moved atomically from its list."""

KNOWN_FORWARDERS = "ccarchiver:known_forwarders"
"""Hash: Forwarders that registered and were tried, by queue; candidates if the list is empty."""

ASSOCIATION_ATTEMPTS = "ccarchiver:association_attempts"
"""Hash: the result of the last association attempt with each known Forwarder, by queue.

See `ccarchiver_core.store.association_attempts`."""

QUEUES_TO_PURGE = "ccarchiver:queues_to_purge"
"""Set: queues of lost Forwarders, to be purged when RabbitMQ allows it."""

PENDING_ACKS = "ccarchiver:pending_acks"
"""Hash: pending acks as JSON, by ACK_ID."""

IMAGES = "ccarchiver:images"
"""Sorted set: every image in the ledger, by the time (Unix, UTC) of its first event or status."""

REFUSED_EXPOSURES = "ccarchiver:refused_exposures"
"""Sorted set: refused exposures of names used before, by the time (Unix, UTC) of the first event.

A member is the name of the image, a colon, and the number of the refused exposure in its record."""

UNFINISHED = "ccarchiver:unfinished"
"""Sorted set: accepted images that are neither complete nor failed, by job number."""

MISSED = "ccarchiver:missed"
"""Sorted set: the missed images, by the same time as in `IMAGES`."""

CATCH_UP_REQUESTS = "ccarchiver:catch_up_requests"
"""Sorted set: missed images that an operator wants archived, by the time (Unix) of the request."""

SCAN = "ccarchiver:scan"
"""Hash: the last scan of the camera's images; see `ccarchiver_core.store.scans`."""

DEAD_LETTERS = "ccarchiver:dead_letters"
"""Stream: dead letters, with reason, origin and raw bytes."""

COUNTERS = "ccarchiver:counters"
"""Hash: counters for operators and metrics."""

SUPERVISED_PROCESSES = "ccarchiver:supervised_processes"
"""Hash: the last state of each supervised process, by host and name.

See `ccarchiver_core.store.supervised_processes`."""

STAGE_DURATIONS = "ccarchiver:stage_durations"
"""Hash: histograms of the stage durations; see `ccarchiver_core.store.stage_durations`."""

UNREADABLE = "ccarchiver:unreadable"
"""Hash: what a transaction has set aside, because a person or another version had changed it.

A field is the name of a key, or key and field. The value is the old value of a counter, or the new
name of a key of a wrong type: this name, a colon, a time, a colon and the old name. Health moves
the fields to the dead letters.
"""

MAILBOX_GROUP = "worker"
"""The one consumer group of every mailbox."""

MAILBOX_CONSUMER = "self"
"""The one consumer of every mailbox, so that a restarted worker reads its pending entries."""


class Worker(enum.StrEnum):
    """The three workers."""

    SAL = "sal"
    BRIDGE = "bridge"
    HEALTH = "health"

    @property
    def mailbox(self) -> str:
        """Stream: the mailbox of this worker."""
        return f"ccarchiver:mailbox:{self}"

    @property
    def lease(self) -> str:
        """String with a time to live: the process that is the active instance of this worker."""
        return f"ccarchiver:lease:{self}"

    @property
    def standby(self) -> str:
        """String with a time to live: the standby of this worker; the last to write, if several."""
        return f"ccarchiver:standby:{self}"

    @property
    def fencing_token(self) -> str:
        """Counter of this worker's leases. Redis rejects a transaction with a smaller number."""
        return f"ccarchiver:fencing_token:{self}"

    @property
    def applied(self) -> str:
        """Hash: the last transaction number, and the numbers whose preconditions failed.

        They make repeated transactions detectable.
        """
        return f"ccarchiver:applied:{self}"

    @property
    def alive(self) -> str:
        """String with a time to live: the worker's heartbeat as JSON."""
        return f"ccarchiver:alive:{self}"


def scan_names(number: int) -> str:
    """Return the list to which a Forwarder pushes the names of a scan; each scan has its own."""
    return f"ccarchiver:scan_names:{number}"


def image(obsid: str) -> str:
    """Return the key of an image record."""
    return f"ccarchiver:image:{obsid}"
