"""Exposures in the ledger, written by the code that writes them at work, without the workers around it."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ccarchiver_core import keys
from ccarchiver_core.domain.exposure import (
    EndReadout,
    EventKind,
    HeaderReady,
    Instruction,
    SentInstruction,
    StartIntegration,
    ack_number,
)
from ccarchiver_core.domain.worker_messages import FileStatus, StatusTopic
from ccarchiver_core.store import file_status_fields, ledger
from ccarchiver_core.store.ledger import ImageState
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.exposure import ExposureEvent

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
class LedgerBuilder:
    """Writes exposures down, into a pipeline of its own: guards are for workers at work.

    Parameters
    ----------
    redis, settings
        Where to, and which CCDs there are.
    """

    redis: Redis
    settings: Settings

    async def write(self, *steps: Transaction) -> None:
        """Do the operations of steps."""
        async with self.redis.pipeline(transaction=False) as pipe:
            for transaction in steps:
                for words in transaction.commands:
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

    def steps(self, obsid: str, job: int, at: float, way: Way, files: int | None = None) -> list[Transaction]:
        """Give the steps by which an exposure got so far."""
        transaction = Transaction()
        start = StartIntegration(
            image_name=obsid, image_index=1, images_in_sequence=1, image_date="20261122", exposure_time=EXPOSURE_S
        )
        _hear(transaction, obsid, job, start, at, is_new=True)
        _send(transaction, obsid, job, Instruction.NEW_ITEM, at + HOP_S, answered=way >= Way.PLACED)
        if way >= Way.PLACED:
            transaction.command("HSET", keys.image(obsid), "target_dir", "/data/staging/ccforwarder/20261122/")
            _send(transaction, obsid, job, Instruction.XFER_PARAMS, at + 3 * HOP_S)
        if way >= Way.TOLD:
            end = EndReadout(image_name=obsid, image_index=1, images_in_sequence=1)
            _hear(transaction, obsid, job, end, at + EXPOSURE_S)
            _send(transaction, obsid, job, Instruction.END_READOUT, at + EXPOSURE_S + HOP_S)
            header = HeaderReady(url=f"http://ccheader.example:8000/header/{obsid}.yaml")
            _hear(transaction, obsid, job, header, at + READY_S)
            _send(transaction, obsid, job, Instruction.HEADER_READY, at + READY_S + HOP_S)
        if way >= Way.RETRIEVED:
            self._report(transaction, obsid, StatusTopic.RETRIEVAL, at + 2, files if way is Way.RETRIEVED else None)
        if way >= Way.COMPLETE:
            last = self._report(transaction, obsid, StatusTopic.IN_OODS, at + 3, files)
            if files is None:
                ledger.finish(transaction, obsid, ImageState.COMPLETE)
                transaction.command("HSET", keys.image(obsid), "finished", last)
        return [transaction]

    def _report(self, transaction: Transaction, obsid: str, topic: StatusTopic, at: float, files: int | None) -> float:
        """Write the good statuses of the first files, as SAL does; gives the time of the last."""
        for number, (raft, sensor) in enumerate(self.settings.ccds[:files], start=1):
            at += FILE_S
            status = status_of(obsid, topic, raft, sensor)
            done = file_status_fields.DONE[topic]
            transaction.set_fields(
                keys.image(obsid),
                {
                    file_status_fields.field_of(status): file_status_fields.value_of(status, at),
                    done: number,
                    f"{ledger.AT_PREFIX}{done}": round(at, 3),
                },
            )
        return round(at, 3)

    async def failed(self, obsid: str, job: int, at: float, reason: str, code: int) -> None:
        """Write an exposure that the Controller refused."""
        transaction = Transaction()
        ledger.fail(transaction, obsid, reason, code)
        await self.write(*self.steps(obsid, job, at, Way.HEARD), transaction)

    async def stalled(self, obsid: str, job: int, at: float, way: Way) -> None:
        """Write an exposure that health has found to wait for too long."""
        transaction = Transaction().set_fields(keys.image(obsid), {"state": ImageState.STALLED})
        await self.write(*self.steps(obsid, job, at, way), transaction)

    async def outsider(self, obsid: str, at: float, state: ImageState) -> None:
        """Write an image that was not accepted: skipped, or foreign."""
        transaction = Transaction()
        ledger.create_unaccepted(transaction, obsid, state)
        transaction.command("HSET", keys.image(obsid), "at", at).command("ZADD", keys.IMAGES, at, obsid)
        await self.write(transaction)


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


def _hear(
    transaction: Transaction, obsid: str, job: int, event: ExposureEvent, at: float, *, is_new: bool = False
) -> None:
    heard = ledger.ReceivedEvent(obsid, job, SESSION, event, at)
    ledger.record_event(transaction, heard, ImageState.ACCEPTED, is_new=is_new)


def _send(
    transaction: Transaction, obsid: str, job: int, order: Instruction, at: float, *, answered: bool = True
) -> None:
    epoch = 0 if order is Instruction.NEW_ITEM else EPOCH
    sent = SentInstruction(
        ack_id=f"{SESSION}_{ack_number(job, epoch, order.digit)}",
        session_id=SESSION,
        epoch=epoch,
        sent_at=round(at, 3),
        acked=answered,
        acked_at=round(at + HOP_S, 3) if answered else 0.0,
    )
    ledger.record_sent(transaction, obsid, order, sent)


def fields_of(record: dict[str, str]) -> set[str]:
    """Give the kinds of fields a record has, and those within its JSON, whatever the image's name."""
    found: set[str] = set()
    for name, value in record.items():
        found.add(name.partition("|")[0])
        if name in (*EventKind, *Instruction):
            found |= {f"{name}.{inner}" for inner in json.loads(value)}
    return found
