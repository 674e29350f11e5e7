"""Names of everything in the archiver's Redis database that is ours; the shared ones are in the site file."""

from __future__ import annotations

import enum

PREFIX = "ccarchiver:"
"""How the names of all our keys begin."""

FORWARDER_LIST = "forwarder_list"
"""Free Forwarders, as JSON; they push on the left, the archiver takes from the right."""

SESSION = "ccarchiver:session"
"""Hash: what should be true now; see `ccarchiver_core.store.session`."""

CSC = "ccarchiver:csc"
"""Hash: the CSC's state, for a restart within the resume window."""

PAIRING_CANDIDATE = "ccarchiver:pairing_candidate"
"""List with the Forwarder entry that is being tried: moved here from the list in one step."""

KNOWN_FORWARDERS = "ccarchiver:known_forwarders"
"""Hash: every Forwarder that was ever listed, by its queue; asked when the list is empty."""

ASSOCIATION_ATTEMPTS = "ccarchiver:association_attempts"
"""Hash: the result of the last association attempt with each known Forwarder, by its queue.

See `ccarchiver_core.store.association_attempts`."""

QUEUES_TO_PURGE = "ccarchiver:queues_to_purge"
"""Set: queues of lost Forwarders that are to be emptied when RabbitMQ allows it."""

PENDING_ACKS = "ccarchiver:pending_acks"
"""Hash: ACK_ID to the JSON of an answer that a peer owes."""

IMAGES = "ccarchiver:images"
"""Sorted set: every image of the ledger, by the time (Unix, UTC) it was first heard of."""

UNFINISHED = "ccarchiver:unfinished"
"""Sorted set: accepted images that are neither complete nor failed, by job number."""

DEAD_LETTERS = "ccarchiver:dead_letters"
"""Stream: what could not be handled, with reason, origin and raw bytes."""

COUNTERS = "ccarchiver:counters"
"""Hash: counts for operators and metrics."""

SUPERVISED_PROCESSES = "ccarchiver:supervised_processes"
"""Hash: the last state of each supervised process, by host and name.

See `ccarchiver_core.store.supervised_processes`."""

STAGE_DURATIONS = "ccarchiver:stage_durations"
"""Hash: histograms of how long steps take; see `ccarchiver_core.store.stage_durations`."""

MAILBOX_GROUP = "worker"
"""The one consumer group of every mailbox."""

MAILBOX_CONSUMER = "self"
"""The one consumer of every mailbox: a restarted worker finds its own pending entries again."""


class Worker(enum.StrEnum):
    """The three workers."""

    SAL = "sal"
    BRIDGE = "bridge"
    HEALTH = "health"

    @property
    def mailbox(self) -> str:
        """Stream of what this worker has to do."""
        return f"ccarchiver:mailbox:{self}"

    @property
    def lease(self) -> str:
        """String with a time to live: who runs this worker."""
        return f"ccarchiver:lease:{self}"

    @property
    def standby(self) -> str:
        """String with a time to live: who waits to take this worker's lease over; the last to say so, if several."""
        return f"ccarchiver:standby:{self}"

    @property
    def fencing_token(self) -> str:
        """Counter of this worker's leases; a smaller one may not write."""
        return f"ccarchiver:fencing_token:{self}"

    @property
    def applied(self) -> str:
        """Hash: the number of the last step, and of those refused, so that a repeated one is recognised."""
        return f"ccarchiver:applied:{self}"

    @property
    def alive(self) -> str:
        """String with a time to live: the worker's vital signs as JSON."""
        return f"ccarchiver:alive:{self}"


def image(obsid: str) -> str:
    """Name of one image's ledger record."""
    return f"ccarchiver:image:{obsid}"
