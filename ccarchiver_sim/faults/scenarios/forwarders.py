"""Scenarios with Forwarders that die, hang, do not answer or answer late, and with a bad list."""

import json
from functools import partial

from typing_extensions import override

from ccarchiver_core.keys import FORWARDER_LIST
from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.faults.parts import Part
from ccarchiver_sim.faults.scenario import OUTAGES_S, Scenario
from ccarchiver_sim.faults.services import ALL, Service
from ccarchiver_sim.faults.timing import FACTOR, LATE_ACK_S
from ccarchiver_sim.testbed import polling
from ccarchiver_sim.testbed.peer_process import Peer

PRESENCE_KEY = "f99_association"
"""Presence key of every Forwarder of the known release."""
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
    """Faulty Forwarders with options, followed by a good one.

    Parameters
    ----------
    name, about
        Name and description of the scenario.
    options
        Options of each faulty Forwarder, in the sequence of the list. The Forwarder without options
        takes over at the end.
    """

    ends_at_once = True
    parts = frozenset({Part.ALL_FORWARDERS})
    inject_needs = ALL

    def __init__(self, name: str, about: str, *options: tuple[str, ...]) -> None:
        super().__init__()
        self.name = name
        self.about = about
        self._options = options

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        # The paired Forwarder is replaced during exposures, which also causes a takeover.
        await testbed.peer_pool.set_bad_forwarders(*self._options)

    @override
    async def restore(self, testbed: FaultTestbed) -> None:
        await testbed.peer_pool.retire_bad_forwarders()


class Killed(Scenario):
    """The paired Forwarder and its successor are killed, and a new one starts."""

    name = "forwarder-killed"
    about = "the paired Forwarder is killed, then once its successor; new ones start later"
    outages: tuple[float, ...] = (0.5, 5.0)
    parts = frozenset({Part.PAIRED_FORWARDER})
    revive_needs = ALL

    @override
    async def aim(self, testbed: FaultTestbed) -> None:
        self._target = await paired(testbed)

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        self._target.kill()

    @override
    async def heal(self, testbed: FaultTestbed) -> None:
        survivors = [peer for peer in testbed.peer_pool.forwarders if peer.is_running]
        if survivors:
            survivors[0].kill()

    @override
    async def revive(self, testbed: FaultTestbed) -> None:
        await testbed.peer_pool.make_whole()


class Frozen(Scenario):
    """The paired Forwarder hangs and continues after another has taken over."""

    name = "forwarder-frozen"
    about = (
        "the paired Forwarder hangs, another takes over, "
        "then the first continues its old instructions"
    )
    outages: tuple[float, ...] = (4.0 * FACTOR, 15.0 * FACTOR)
    parts = frozenset({Part.PAIRED_FORWARDER})

    @override
    async def aim(self, testbed: FaultTestbed) -> None:
        self._frozen = await paired(testbed)

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        self._frozen.freeze()

    @override
    async def heal(self, testbed: FaultTestbed) -> None:
        self._frozen.thaw()


class PresenceFlaps(Scenario):
    """The presence key disappears and returns, as with a Forwarder as slow as its time to live."""

    name = "presence-flaps"
    about = "the Forwarder's presence key disappears, for less and for more than the grace period"
    outages: tuple[float, ...] = (0.5, 2.0, 0.9, 1.1)
    inject_needs = frozenset({Service.REDIS, Service.REDIS_WRITES})
    heal_needs = inject_needs

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        async with testbed.redis() as client:
            await client.delete(PRESENCE_KEY)

    @override
    async def heal(self, testbed: FaultTestbed) -> None:
        async with testbed.redis() as client:
            await client.set(PRESENCE_KEY, "pong", ex=10)


class BadList(Scenario):
    """The list of free Forwarders has stale, duplicate and malformed entries when one is needed."""

    name = "forwarder-list-bad"
    about = (
        "stale, duplicate and malformed entries precede the good one when the paired Forwarder dies"
    )
    ends_at_once = True
    parts = frozenset({Part.PAIRED_FORWARDER})
    inject_needs = frozenset({Service.REDIS, Service.REDIS_WRITES})

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        one = await paired(testbed)
        others = [peer for peer in testbed.peer_pool.forwarders if peer is not one]
        stale = json.dumps(
            {"hostname": "dead", "ip_address": "127.0.0.1", "consume_queue": "dead_consume"}
        )
        double = json.dumps(
            {
                "hostname": others[0].name,
                "ip_address": "127.0.0.1",
                "consume_queue": f"{others[0].name}_consume",
            }
        )
        async with testbed.redis() as client:
            # The archiver takes entries from the right, so these come first.
            await client.rpush(FORWARDER_LIST, double, double, stale, stale, *GARBAGE)
        one.kill()

    @override
    async def restore(self, testbed: FaultTestbed) -> None:
        await testbed.peer_pool.make_whole()


class FlushesItsDatabase(Scenario):
    """A Forwarder starts and clears its own database in the same Redis."""

    name = "forwarder-flushdb"
    about = "FLUSHDB on the Forwarders' own database, repeatedly"
    outages: tuple[float, ...] = (0.3, 0.3, 0.3)
    inject_needs = frozenset({Service.REDIS, Service.REDIS_WRITES})

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        async with testbed.redis(testbed.settings.forwarder_redis_db) as client:
            await client.flushdb()


class NoneLeft(Scenario):
    """No Forwarder for longer than the archiver waits."""

    name = "forwarders-gone"
    about = "all Forwarders die; one starts within the grace period, or after it, with an operator"
    outages: tuple[float, ...] = (3.0, 30.0)
    may_fault = True
    unattended: tuple[float, ...] | None = (3.0,)
    parts = frozenset({Part.PAIRED_FORWARDER})
    revive_needs = ALL

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        for peer in testbed.peer_pool.forwarders:
            if peer.is_running:
                peer.kill()

    @override
    async def revive(self, testbed: FaultTestbed) -> None:
        await testbed.peer_pool.make_whole()


async def paired(testbed: FaultTestbed) -> Peer:
    """Wait until a Forwarder is paired, and return it."""
    found: list[Peer] = []

    async def is_paired() -> bool:
        try:
            found.append(await testbed.peer_pool.paired())
        except LookupError:
            return False
        return True

    await polling.wait_for_async(is_paired, OUTAGES_S[2], "a paired Forwarder")
    return found[0]


SCENARIOS = [
    Killed,
    partial(
        Misbehaving,
        "forwarder-dies-unacked",
        "three Forwarders in a row die when they receive an instruction, "
        "before they acknowledge it",
        ("--die-after", "CC_FWDR_XFER_PARAMS"),
        ("--die-after", "CC_FWDR_END_READOUT"),
        ("--die-after", "CC_FWDR_HEADER_READY"),
    ),
    partial(
        Misbehaving,
        "forwarder-dies-mid-transfer",
        "a Forwarder dies after some files of an image are delivered, and so does the next one",
        ("--die-mid-transfer", "4"),
        ("--die-mid-transfer", "8"),
    ),
    partial(
        Misbehaving,
        "forwarder-mute",
        "a Forwarder executes its instructions but acknowledges none of one kind, and is replaced",
        ("--mute", "CC_FWDR_END_READOUT"),
    ),
    partial(
        Misbehaving,
        "forwarder-late-acks",
        "every acknowledgement arrives late, so that instructions are sent and answered twice",
        ("--ack-delay", str(LATE_ACK_S)),
    ),
    Frozen,
    PresenceFlaps,
    BadList,
    FlushesItsDatabase,
    NoneLeft,
]
