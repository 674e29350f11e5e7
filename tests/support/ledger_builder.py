"""Exposures in the ledger, written by the workers' own code without running workers."""

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
from ccarchiver_core.domain.file_status import FileStatus, StatusTopic
from ccarchiver_core.domain.image_record import ImageState, ReceivedEvent
from ccarchiver_core.domain.refused_exposure import RefusedExposure
from ccarchiver_core.store import file_status_fields
from ccarchiver_core.store.image_ledger import AT_PREFIX, COUNT_FIELDS, ImageLedger
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.exposure import ExposureEvent

SESSION = "2026-11-22_08:18:37.932650"
EPOCH = 1

HOP_S = 0.01
"""Seconds between two messages of an exposure."""
EXPOSURE_S = 1.0
"""Seconds from startIntegration to endReadout."""
READY_S = 1.5
"""Seconds from startIntegration to the header, after which the Forwarder fetches the files."""
FILE_S = 0.05
"""Seconds from one file to the next."""


class Progress(enum.IntEnum):
    """Progress of an exposure."""

    RECEIVED = 0
    """startIntegration was received and NEW_CC_ARCHIVE_ITEM sent."""
    ASSIGNED = 1
    """The Controller has acknowledged, and the Forwarder has the parameters."""
    INSTRUCTED = 2
    """The Forwarder has all instructions."""
    RETRIEVED = 3
    COMPLETE = 4


@dataclass
class LedgerBuilder:
    """Writes exposures with its own pipeline, without the preconditions of running workers.

    Parameters
    ----------
    redis, settings
        The database, and the CCDs of the camera.
    """

    redis: Redis
    settings: Settings

    async def write(self, *transactions: Transaction) -> None:
        """Write the operations of transactions."""
        async with self.redis.pipeline(transaction=False) as pipe:
            for transaction in transactions:
                for words in transaction.commands:
                    pipe.execute_command(*words)
            await pipe.execute()

    async def exposure(
        self,
        obsid: str,
        job: int,
        at: float,
        progress: Progress = Progress.COMPLETE,
        files: int | None = None,
    ) -> None:
        """Write an accepted exposure that was received at a Unix time and got this far.

        Parameters
        ----------
        files : `int`, optional
            Number of files that reached the last stage; all by default.
        """
        await self.write(*self.transactions(obsid, job, at, progress, files))

    def transactions(
        self, obsid: str, job: int, at: float, progress: Progress, files: int | None = None
    ) -> list[Transaction]:
        """Return the transactions by which an exposure got this far."""
        transaction = Transaction()
        start = StartIntegration(
            image_name=obsid,
            image_index=1,
            images_in_sequence=1,
            image_date="20261122",
            exposure_time=EXPOSURE_S,
        )
        _receive(transaction, obsid, job, start, at, is_new=True)
        _send(
            transaction,
            obsid,
            job,
            Instruction.NEW_ITEM,
            at + HOP_S,
            answered=progress >= Progress.ASSIGNED,
        )
        if progress >= Progress.ASSIGNED:
            transaction.command(
                "HSET", keys.image(obsid), "target_dir", "/data/staging/ccforwarder/20261122/"
            )
            _send(transaction, obsid, job, Instruction.XFER_PARAMS, at + 3 * HOP_S)
        if progress >= Progress.INSTRUCTED:
            end = EndReadout(image_name=obsid, image_index=1, images_in_sequence=1)
            _receive(transaction, obsid, job, end, at + EXPOSURE_S)
            _send(transaction, obsid, job, Instruction.END_READOUT, at + EXPOSURE_S + HOP_S)
            header = HeaderReady(url=f"http://ccheader.example:8000/header/{obsid}.yaml")
            _receive(transaction, obsid, job, header, at + READY_S)
            _send(transaction, obsid, job, Instruction.HEADER_READY, at + READY_S + HOP_S)
        if progress >= Progress.RETRIEVED:
            self._status(
                transaction,
                obsid,
                StatusTopic.RETRIEVAL,
                at + 2,
                files if progress is Progress.RETRIEVED else None,
            )
        if progress >= Progress.COMPLETE:
            last = self._status(transaction, obsid, StatusTopic.IN_OODS, at + 3, files)
            if files is None:
                ImageLedger.finish(transaction, obsid, ImageState.COMPLETE)
                transaction.command("HSET", keys.image(obsid), "finished", last)
        return [transaction]

    def _status(
        self, transaction: Transaction, obsid: str, topic: StatusTopic, at: float, files: int | None
    ) -> float:
        """Write the good statuses of the first files; return the time of the last one."""
        for number, (raft, sensor) in enumerate(self.settings.ccds[:files], start=1):
            at += FILE_S
            status = status_of(obsid, topic, raft, sensor)
            done = COUNT_FIELDS[topic]
            transaction.set_fields(
                keys.image(obsid),
                {
                    file_status_fields.field_of(status): file_status_fields.value_of(status, at),
                    done: number,
                    f"{AT_PREFIX}{done}": round(at, 3),
                },
            )
        return round(at, 3)

    async def failed(self, obsid: str, job: int, at: float, reason: str, code: int) -> None:
        """Write an exposure that the Controller rejected."""
        transaction = Transaction()
        ImageLedger.fail(transaction, obsid, reason, code)
        await self.write(*self.transactions(obsid, job, at, Progress.RECEIVED), transaction)

    async def stalled(self, obsid: str, job: int, at: float, progress: Progress) -> None:
        """Write an exposure that health has found stalled."""
        transaction = Transaction().set_fields(keys.image(obsid), {"state": ImageState.STALLED})
        await self.write(*self.transactions(obsid, job, at, progress), transaction)

    async def refused(self, obsid: str, at: float) -> None:
        """Write a later exposure of a name, which was refused at a Unix time."""
        transaction = Transaction()
        exposure = RefusedExposure(
            number=1,
            refused_at=at,
            reason="imageIndex is 2 instead of 1",
            event_times={EventKind.START: at},
        )
        ImageLedger.record_refused(transaction, obsid, exposure)
        await self.write(transaction)

    async def unaccepted(self, obsid: str, at: float, state: ImageState) -> None:
        """Write an image that was not accepted: skipped or unannounced."""
        transaction = Transaction()
        ImageLedger.create_unaccepted(transaction, obsid, state)
        transaction.command("HSET", keys.image(obsid), "at", at).command(
            "ZADD", keys.IMAGES, at, obsid
        )
        await self.write(transaction)


def status_of(obsid: str, topic: StatusTopic, raft: str, sensor: str, code: int = 0) -> FileStatus:
    """Return a status as the bridge forwards it."""
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


def _receive(
    transaction: Transaction,
    obsid: str,
    job: int,
    event: ExposureEvent,
    at: float,
    *,
    is_new: bool = False,
) -> None:
    received = ReceivedEvent(obsid, job, SESSION, event, at)
    ImageLedger.record_event(transaction, received, ImageState.ACCEPTED, is_new=is_new)


def _send(
    transaction: Transaction,
    obsid: str,
    job: int,
    instruction: Instruction,
    at: float,
    *,
    answered: bool = True,
) -> None:
    epoch = 0 if instruction is Instruction.NEW_ITEM else EPOCH
    sent = SentInstruction(
        ack_id=f"{SESSION}_{ack_number(job, epoch, instruction.digit)}",
        session_id=SESSION,
        epoch=epoch,
        sent_at=round(at, 3),
        acked=answered,
        acked_at=round(at + HOP_S, 3) if answered else 0.0,
    )
    ImageLedger.record_instruction(transaction, obsid, instruction, sent)


def fields_of(record: dict[str, str]) -> set[str]:
    """Return the kinds of fields in a record and within its JSON, without the image's name."""
    found: set[str] = set()
    for name, value in record.items():
        found.add(name.partition("|")[0])
        if name in (*EventKind, *Instruction):
            found |= {f"{name}.{inner}" for inner in json.loads(value)}
    return found
