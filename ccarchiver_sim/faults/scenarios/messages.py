"""Scenario with messages that no peer should send, mixed with valid ones."""

from typing_extensions import override

from ccarchiver_core.keys import COUNTERS
from ccarchiver_sim.faults import raw_publisher
from ccarchiver_sim.faults.fault_testbed import FaultTestbed
from ccarchiver_sim.faults.scenario import Scenario
from ccarchiver_sim.faults.services import Service
from ccarchiver_sim.testbed import polling

DEAD_LETTERS_LIMIT_S = 60.0
"""Limit for all bad messages to become dead letters, which usually takes a tenth of a second."""
TOO_LONG = 1_000_000
"""Size in bytes above MAX_MESSAGE_BYTES, which is 256 KiB."""
MALFORMED = (
    b"",
    b"\x00\xff\xfe",
    b"MSG_TYPE: [unclosed",
    b"- a\n- list\n",
    b"just text",
    b"{}",
    b"MSG_TYPE: 17\n",
    b"MSG_TYPE: NO_SUCH_MESSAGE\n",
    b"MSG_TYPE: !!python/object/apply:os.system ['true']\n",
    b"MSG_TYPE: IMAGE_IN_OODS\n",
    b"a: &a [*a]\n",
    b"x" * TOO_LONG,
)
"""Messages that kill the consumer of the previous archiver, and others."""


class BadMessages(Scenario):
    """All bad messages are sent to all queues of the archiver."""

    name = "bad-messages"
    about = (
        "malformed, empty, huge and unknown messages to every queue, "
        "and unexpected acknowledgements"
    )
    ends_at_once = True
    inject_needs = frozenset({Service.REDIS, Service.RABBITMQ})

    @override
    async def inject(self, testbed: FaultTestbed) -> None:
        settings = testbed.settings
        queues = (
            settings.forwarder_publish_queue,
            settings.telemetry_queue,
            settings.queue_from_oods,
            settings.archive_ctrl_publish_queue,
        )
        self._before = await self._dead_letters(testbed)
        self._sent = len(queues) * len(MALFORMED)
        await raw_publisher.publish(
            testbed.rig, [(queue, text) for queue in queues for text in MALFORMED]
        )
        await raw_publisher.publish(
            testbed.rig, [(settings.forwarder_publish_queue, body) for body in self._unasked()]
        )

    @override
    async def check(self, testbed: FaultTestbed) -> None:
        async def all_there() -> bool:
            return await self._dead_letters(testbed) - self._before >= self._sent

        try:
            await polling.wait_for_async(all_there, DEAD_LETTERS_LIMIT_S, "dead letters")
        except polling.WaitError:
            found = await self._dead_letters(testbed) - self._before
            self.failures.append(
                f"{self._sent} bad messages were sent, {found} are among the dead letters"
            )

    @staticmethod
    def _unasked() -> list[bytes]:
        ack = {"IMAGE_ID": "CC_O_20000101_000001", "COMPONENT": "127.0.0.1:nobody"}
        kinds = ("CC_FWDR_XFER_PARAMS_ACK", "CC_FWDR_END_READOUT_ACK", "CC_FWDR_HEADER_READY_ACK")
        return [
            raw_publisher.body(MSG_TYPE=kind, ACK_ID=ack_id, **ack)
            for kind in kinds
            for ack_id in ("nobody_1", "2000-01-01_00:00:00.000000_10000032", "")
        ]

    @staticmethod
    async def _dead_letters(testbed: FaultTestbed) -> int:
        async with testbed.redis() as client:
            return int(await client.hget(COUNTERS, "dead_letters") or 0)


SCENARIOS = [BadMessages]
