"""Forwarders that die, hang, keep silent or come late, and what is wrong with their list."""

import json
from functools import partial

from typing_extensions import override

from ccarchiver_core.keys import FORWARDER_LIST
from ccarchiver_sim.faults.fault_testbed import Stage
from ccarchiver_sim.faults.scenario import OUTAGES_S, Scenario
from ccarchiver_sim.faults.timing import FACTOR, LATE_ACK_S
from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.peer_process import Peer

PRESENCE_KEY = "f99_association"
"""Of every Forwarder of the known release."""
GARBAGE = (
    "not JSON at all {",
    "[]",
    '{"hostname": "half"}',
    '{"hostname": "", "ip_address": "", "consume_queue": ""}',
    '{"hostname": 5, "ip_address": null, "consume_queue": ["x"]}',
    "\u0000\u0001",
    "",
)


class Misbehaving(Scenario):
    """Forwarders with options, of which the last one is well.

    Parameters
    ----------
    name, about
        Of the scenario.
    options
        Of each Forwarder, in their order on the list; the one without options takes over in the end.
    """

    ends_at_once = True

    def __init__(self, name: str, about: str, *options: tuple[str, ...]) -> None:
        super().__init__()
        self.name = name
        self.about = about
        self._options = options

    @override
    async def inject(self, stage: Stage) -> None:
        # The paired one is replaced in the midst of the exposures, which is a takeover by itself.
        await stage.peer_pool.set_bad_forwarders(*self._options)

    @override
    async def finish(self, stage: Stage) -> None:
        await stage.peer_pool.retire_bad_forwarders()


class Killed(Scenario):
    """The paired Forwarder is killed, the next one too, and one comes back."""

    name = "forwarder-killed"
    about = "the paired Forwarder is killed; its successor as well, once; new ones come back later"
    outages: tuple[float, ...] = (0.5, 5.0)

    @override
    async def inject(self, stage: Stage) -> None:
        (await paired(stage)).kill()

    @override
    async def heal(self, stage: Stage) -> None:
        survivors = [peer for peer in stage.peer_pool.forwarders if peer.is_running]
        if survivors:
            survivors[0].kill()
        await stage.peer_pool.make_whole()


class Frozen(Scenario):
    """The paired Forwarder hangs and comes back when another has its work."""

    name = "forwarder-frozen"
    about = "the paired Forwarder hangs, another takes over, then the first one wakes up with its old orders"
    outages: tuple[float, ...] = (4.0 * FACTOR, 15.0 * FACTOR)

    @override
    async def inject(self, stage: Stage) -> None:
        self._frozen = await paired(stage)
        self._frozen.freeze()

    @override
    async def heal(self, stage: Stage) -> None:
        self._frozen.thaw()


class PresenceFlaps(Scenario):
    """The presence key goes and comes, as when a Forwarder is as slow as the key's time to live."""

    name = "presence-flaps"
    about = "the Forwarder's presence key goes and comes, for less and for more than the grace"
    outages: tuple[float, ...] = (0.5, 2.0, 0.9, 1.1)

    @override
    async def inject(self, stage: Stage) -> None:
        async with stage.redis() as client:
            await client.delete(PRESENCE_KEY)

    @override
    async def heal(self, stage: Stage) -> None:
        async with stage.redis() as client:
            await client.set(PRESENCE_KEY, "pong", ex=10)


class BadList(Scenario):
    """What stands in the list of free Forwarders is stale, double and malformed when one is needed."""

    name = "forwarder-list-bad"
    about = "stale, double and malformed entries stand before the good one when the paired Forwarder dies"
    ends_at_once = True

    @override
    async def inject(self, stage: Stage) -> None:
        one = await paired(stage)
        others = [peer for peer in stage.peer_pool.forwarders if peer is not one]
        stale = json.dumps({"hostname": "dead", "ip_address": "127.0.0.1", "consume_queue": "dead_consume"})
        double = json.dumps(
            {"hostname": others[0].name, "ip_address": "127.0.0.1", "consume_queue": f"{others[0].name}_consume"}
        )
        async with stage.redis() as client:
            # Taken from the right, so these come first.
            await client.rpush(FORWARDER_LIST, double, double, stale, stale, *GARBAGE)
        one.kill()

    @override
    async def finish(self, stage: Stage) -> None:
        await stage.peer_pool.make_whole()


class FlushesItsDatabase(Scenario):
    """A Forwarder starts, which empties its own database in the same Redis."""

    name = "forwarder-flushdb"
    about = "FLUSHDB on the Forwarders' own database, again and again"
    outages: tuple[float, ...] = (0.3, 0.3, 0.3)

    @override
    async def inject(self, stage: Stage) -> None:
        async with stage.redis(stage.settings.forwarder_redis_db) as client:
            await client.flushdb()


class NoneLeft(Scenario):
    """No Forwarder at all for longer than the archiver waits."""

    name = "forwarders-gone"
    about = "all Forwarders die; one comes within the grace, or after it, when an operator starts again"
    outages: tuple[float, ...] = (3.0, 30.0)
    may_fault = True

    @override
    async def inject(self, stage: Stage) -> None:
        for peer in stage.peer_pool.forwarders:
            if peer.is_running:
                peer.kill()

    @override
    async def heal(self, stage: Stage) -> None:
        await stage.peer_pool.make_whole()


async def paired(stage: Stage) -> Peer:
    """Return the paired Forwarder, waiting while there is none."""
    found: list[Peer] = []

    async def look() -> bool:
        try:
            found.append(await stage.peer_pool.paired())
        except LookupError:
            return False
        return True

    await polling.wait_for_async(look, OUTAGES_S[2], "a paired Forwarder")
    return found[0]


SCENARIOS = [
    Killed,
    partial(
        Misbehaving,
        "forwarder-dies-unacked",
        "three Forwarders in a row die on receipt of an order, before they acknowledge it",
        ("--die-after", "CC_FWDR_XFER_PARAMS"),
        ("--die-after", "CC_FWDR_END_READOUT"),
        ("--die-after", "CC_FWDR_HEADER_READY"),
    ),
    partial(
        Misbehaving,
        "forwarder-dies-mid-transfer",
        "a Forwarder dies when some files of an image are delivered, and the next one too",
        ("--die-mid-transfer", "4"),
        ("--die-mid-transfer", "8"),
    ),
    partial(
        Misbehaving,
        "forwarder-mute",
        "a Forwarder acts on its orders but acknowledges none of one kind, and is replaced",
        ("--mute", "CC_FWDR_END_READOUT"),
    ),
    partial(
        Misbehaving,
        "forwarder-late-acks",
        "every acknowledgement comes after its deadline, so that orders are repeated and answered twice",
        ("--ack-delay", str(LATE_ACK_S)),
    ),
    Frozen,
    PresenceFlaps,
    BadList,
    FlushesItsDatabase,
    NoneLeft,
]
