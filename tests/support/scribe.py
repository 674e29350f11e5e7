"""Exposures in the ledger, written by the code that writes them at work, without the workers around it."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ccarchiver_core import keys, ledger, statuses
from ccarchiver_core.exposure import EndReadout, EventKind, HeaderReady, Order, Sent, StartIntegration, ack_number
from ccarchiver_core.ledger import ImageState
from ccarchiver_core.mail import FileStatus, StatusTopic
from ccarchiver_core.step import Step

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.exposure import ExposureEvent
    from ccarchiver_core.settings import Settings

SESSION = "2026-11-22_08:18:37.932650"
EPOCH = 1

HOP_S = 0.01
"""Seconds between two messages of an exposure written here."""
EXPOSURE_S = 1.0
"""Seconds from startIntegration to endReadout."""
READY_S = 1.5
"""Seconds from startIntegration to the header; the Forwarder begins to fetch then."""
FILE_S = 0.05
"""Seconds from one file to the next."""


class Way(enum.IntEnum):
    """How far an exposure is."""

    HEARD = 0
    """startIntegration came, the Controller was asked."""
    PLACED = 1
    """The Controller has answered, the Forwarder has the parameters."""
    TOLD = 2
    """The Forwarder has been told all."""
    RETRIEVED = 3
    COMPLETE = 4


@dataclass
class Scribe:
    """Writes exposures down, into a pipeline of its own: guards are for workers at work.

    Parameters
    ----------
    redis, settings
        Where to, and which CCDs there are.
    """

    redis: Redis
    settings: Settings

    async def write(self, *steps: Step) -> None:
        """Do the operations of steps."""
        async with self.redis.pipeline(transaction=False) as pipe:
            for step in steps:
                for words in step.operations:
                    pipe.execute_command(*words)
            await pipe.execute()

    async def exposure(
        self, obsid: str, job: int, at: float, way: Way = Way.COMPLETE, files: int | None = None
    ) -> None:
        """Write an accepted exposure that came at a Unix time and got so far.

        Parameters
        ----------
        files : `int`, optional
            Files of the last stage that came; all by default.
        """
        await self.write(*self.steps(obsid, job, at, way, files))

    def steps(self, obsid: str, job: int, at: float, way: Way, files: int | None = None) -> list[Step]:
        """Give the steps by which an exposure got so far."""
        step = Step()
        start = StartIntegration(
            image_name=obsid, image_index=1, images_in_sequence=1, image_date="20261122", exposure_time=EXPOSURE_S
        )
        _hear(step, obsid, job, start, at, is_new=True)
        _send(step, obsid, job, Order.NEW_ITEM, at + HOP_S, answered=way >= Way.PLACED)
        if way >= Way.PLACED:
            step.do("HSET", keys.image(obsid), "target_dir", "/data/staging/ccforwarder/20261122/")
            _send(step, obsid, job, Order.XFER_PARAMS, at + 3 * HOP_S)
        if way >= Way.TOLD:
            end = EndReadout(image_name=obsid, image_index=1, images_in_sequence=1)
            _hear(step, obsid, job, end, at + EXPOSURE_S)
            _send(step, obsid, job, Order.END_READOUT, at + EXPOSURE_S + HOP_S)
            header = HeaderReady(url=f"http://ccheader.example:8000/header/{obsid}.yaml")
            _hear(step, obsid, job, header, at + READY_S)
            _send(step, obsid, job, Order.HEADER_READY, at + READY_S + HOP_S)
        if way >= Way.RETRIEVED:
            self._report(step, obsid, StatusTopic.RETRIEVAL, at + 2, files if way is Way.RETRIEVED else None)
        if way >= Way.COMPLETE:
            last = self._report(step, obsid, StatusTopic.IN_OODS, at + 3, files)
            if files is None:
                ledger.finish(step, obsid, ImageState.COMPLETE)
                step.do("HSET", keys.image(obsid), "finished", last)
        return [step]

    def _report(self, step: Step, obsid: str, topic: StatusTopic, at: float, files: int | None) -> float:
        """Write the good statuses of the first files, as SAL does; gives the time of the last."""
        for number, (raft, sensor) in enumerate(self.settings.ccds[:files], start=1):
            at += FILE_S
            status = status_of(obsid, topic, raft, sensor)
            done = statuses.DONE[topic]
            step.set_fields(
                keys.image(obsid),
                {
                    statuses.field_of(status): statuses.value_of(status, at),
                    done: number,
                    f"{ledger.AT_PREFIX}{done}": round(at, 3),
                },
            )
        return round(at, 3)

    async def failed(self, obsid: str, job: int, at: float, reason: str, code: int) -> None:
        """Write an exposure that the Controller refused."""
        step = Step()
        ledger.fail(step, obsid, reason, code)
        await self.write(*self.steps(obsid, job, at, Way.HEARD), step)

    async def stalled(self, obsid: str, job: int, at: float, way: Way) -> None:
        """Write an exposure that health has found to wait for too long."""
        step = Step().set_fields(keys.image(obsid), {"state": ImageState.STALLED})
        await self.write(*self.steps(obsid, job, at, way), step)

    async def outsider(self, obsid: str, at: float, state: ImageState) -> None:
        """Write an image that was not accepted: skipped, or foreign."""
        step = Step()
        ledger.record_outsider(step, obsid, state)
        step.do("HSET", keys.image(obsid), "at", at).do("ZADD", keys.IMAGES, at, obsid)
        await self.write(step)


def status_of(obsid: str, topic: StatusTopic, raft: str, sensor: str, code: int = 0) -> FileStatus:
    """Give a status as the bridge passes it on."""
    return FileStatus(
        topic=topic,
        camera="COMCAM",
        archiver="CCArchiver",
        obsid=obsid,
        raft=raft,
        sensor=sensor,
        filename=f"/data/staging/ccforwarder/20261122/{obsid}-R{raft}{sensor}.fits",
        status_code=code,
        description="file ingested" if topic is StatusTopic.IN_OODS else "retrieved",
    )


def _hear(step: Step, obsid: str, job: int, event: ExposureEvent, at: float, *, is_new: bool = False) -> None:
    heard = ledger.Heard(obsid, job, SESSION, event, at)
    ledger.record_event(step, heard, ImageState.ACCEPTED, is_new=is_new)


def _send(step: Step, obsid: str, job: int, order: Order, at: float, *, answered: bool = True) -> None:
    epoch = 0 if order is Order.NEW_ITEM else EPOCH
    sent = Sent(
        ack_id=f"{SESSION}_{ack_number(job, epoch, order.digit)}",
        session_id=SESSION,
        epoch=epoch,
        at=round(at, 3),
        acked=answered,
        acked_at=round(at + HOP_S, 3) if answered else 0.0,
    )
    ledger.record_sent(step, obsid, order, sent)


def fields_of(record: dict[str, str]) -> set[str]:
    """Give the kinds of fields a record has, and those within its JSON, whatever the image's name."""
    found: set[str] = set()
    for name, value in record.items():
        found.add(name.partition("|")[0])
        if name in (*EventKind, *Order):
            found |= {f"{name}.{inner}" for inner in json.loads(value)}
    return found
