from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ccarchiver_core import keys
from ccarchiver_core.domain.exposure import (
    EndReadout,
    EventKind,
    Instruction,
    SentInstruction,
    StartIntegration,
)
from ccarchiver_core.domain.file_status import StatusTopic
from ccarchiver_core.domain.image_record import ImageRecord, ImageState, MissedBy, MissedImage
from ccarchiver_core.status.ccds import CcdState, ccds_of
from ccarchiver_core.status.timeline import timeline
from ccarchiver_core.store.file_status_fields import field_of, value_of
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Transaction
from tests.core.redis_helpers import looking_into, site
from tests.support.ledger_builder import (
    EXPOSURE_S,
    HOP_S,
    READY_S,
    LedgerBuilder,
    Progress,
    status_of,
)

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.exposure import ExposureEvent
    from ccarchiver_sim.testbed.brokers import PrivateRedis

AT = 1_795_000_000.0


async def record_of(
    server: PrivateRedis, progress: Progress, *more: Transaction, files: int | None = None
) -> ImageRecord:
    settings = site(server.port)
    async with looking_into(settings) as redis:
        ledger_builder = LedgerBuilder(redis, settings)
        await ledger_builder.exposure("i", 1, AT, progress, files)
        await ledger_builder.write(*more)
        record = await ImageLedger(redis).read("i")
        assert record is not None
        return record


def settings_of(server: PrivateRedis) -> Settings:
    return site(server.port)


async def test_timeline_entries_are_in_order_with_their_durations(
    fresh_redis: PrivateRedis,
) -> None:
    entries = timeline(await record_of(fresh_redis, Progress.COMPLETE), settings_of(fresh_redis))

    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    assert len(entries) == 3 + 2 * 4 + 2 * 9 + 1
    took = {entry.what: entry.took_s for entry in entries}
    assert took["NEW_CC_ARCHIVE_ITEM sent"] == pytest.approx(HOP_S, abs=0.002)
    assert took["NEW_CC_ARCHIVE_ITEM answered"] == pytest.approx(HOP_S, abs=0.002)
    assert took["CC_FWDR_END_READOUT sent"] == pytest.approx(HOP_S, abs=0.002)
    assert entries[-1].what == "complete"
    assert entries[-1].took_s == pytest.approx(entries[-1].at - AT - READY_S, abs=0.002)


async def test_timeline_contains_an_instruction_of_an_earlier_pairing(
    fresh_redis: PrivateRedis,
) -> None:
    transaction = Transaction()
    ImageLedger.record_superseded(
        transaction,
        "i",
        Instruction.XFER_PARAMS,
        SentInstruction(ack_id="a:1", session_id="s", epoch=0, sent_at=AT + 0.02),
    )

    entries = timeline(
        await record_of(fresh_redis, Progress.ASSIGNED, transaction), settings_of(fresh_redis)
    )

    sent = [entry.what for entry in entries if entry.what.startswith("CC_FWDR_XFER_PARAMS")]
    assert sent[0] == "CC_FWDR_XFER_PARAMS (earlier pairing) sent"


@pytest.mark.parametrize(
    ("progress", "after"),
    [
        (Progress.RECEIVED, HOP_S),
        (Progress.ASSIGNED, 4 * HOP_S),
        (Progress.INSTRUCTED, READY_S + 2 * HOP_S),
    ],
)
async def test_last_progress_is_the_time_of_the_newest_entry(
    fresh_redis: PrivateRedis, progress: Progress, after: float
) -> None:
    assert (await record_of(fresh_redis, progress)).last_progress_at == pytest.approx(
        AT + after, abs=0.002
    )


async def test_retry_and_replay_of_an_operator_are_timeline_entries(
    fresh_redis: PrivateRedis,
) -> None:
    transaction = Transaction().set_fields(
        keys.image("i"), {"retried_at": AT + 900, "replayed_at": AT + 950}
    )

    record = await record_of(fresh_redis, Progress.RECEIVED, transaction)

    assert record.last_progress_at == AT + 950
    assert [entry.worker for entry in timeline(record, settings_of(fresh_redis))][-2:] == [
        None,
        None,
    ]


async def test_ccds_of_returns_each_ccd_of_the_focal_plane_with_its_state(
    fresh_redis: PrivateRedis,
) -> None:
    bad = status_of("i", StatusTopic.IN_OODS, "22", "S01", code=5620)
    transaction = Transaction().set_fields(
        keys.image("i"), {field_of(bad): value_of(bad, AT + EXPOSURE_S + 9)}
    )

    ccds = ccds_of(
        await record_of(fresh_redis, Progress.COMPLETE, transaction, files=2),
        settings_of(fresh_redis),
    )

    assert [ccd.sensor for ccd in ccds] == [
        "S00",
        "S01",
        "S02",
        "S10",
        "S11",
        "S12",
        "S20",
        "S21",
        "S22",
    ]
    assert [ccd.state for ccd in ccds[:3]] == [
        CcdState.INGESTED,
        CcdState.FAILED,
        CcdState.RETRIEVED,
    ]
    assert ccds[1].code == 5620


async def caught_up_record(server: PrivateRedis, *events: ExposureEvent) -> ImageRecord:
    """Return the record of a missed image that was accepted with events."""
    settings = site(server.port)
    async with looking_into(settings) as redis:
        transaction = Transaction()
        missed = MissedImage("i", AT, MissedBy.SCAN)
        ImageLedger.record_missed(transaction, [missed])
        accepted = Transaction()
        ImageLedger.accept_missed(accepted, "i", job=1, session_id="s", events=events)
        await LedgerBuilder(redis, settings).write(transaction, accepted)
        record = await ImageLedger(redis).read("i")
        assert record is not None
        return record


async def test_replacement_and_earlier_events_of_a_catch_up_are_not_shown_as_received(
    fresh_redis: PrivateRedis,
) -> None:
    record = await caught_up_record(
        fresh_redis,
        StartIntegration(
            image_name="i", image_index=1, images_in_sequence=1, image_date="", exposure_time=1.0
        ),
        EndReadout(image_name="i", image_index=1, images_in_sequence=1, sent_at=AT + 37),
    )

    entries = timeline(record, settings_of(fresh_redis))

    details = {entry.what: entry.detail for entry in entries}
    assert details["startIntegration assumed"].startswith("not received")
    assert details["endReadout used"].startswith("received earlier")
    assert [entry.what for entry in entries if entry.what.endswith("received")] == []


async def test_replaced_start_of_an_image_that_was_not_missed_is_assumed(
    fresh_redis: PrivateRedis,
) -> None:
    record = ImageRecord(
        "i",
        ImageState.ACCEPTED,
        events={
            EventKind.START: StartIntegration(
                image_name="i",
                image_index=0,
                images_in_sequence=0,
                image_date="",
                exposure_time=0.0,
            ),
            EventKind.END: EndReadout(
                image_name="i", image_index=0, images_in_sequence=0, sent_at=AT + 37
            ),
        },
        event_times={EventKind.START: AT + 60, EventKind.END: AT},
    )

    entries = timeline(record, settings_of(fresh_redis))

    assert [entry.what for entry in entries] == ["endReadout received", "startIntegration assumed"]
