"""An operator's actions on missed images.

Each action changes all named images in one transaction, or none of them. Nothing is sent from here:
health reads the requests from Redis.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from redis.exceptions import WatchError

from ccarchiver_cli.retry import Result
from ccarchiver_core import keys
from ccarchiver_core.config.value_types import CatchUp
from ccarchiver_core.domain.image_name import SHOWN, name_problem
from ccarchiver_core.domain.image_record import ImageState
from ccarchiver_core.status.missed import KEPT_BY_DAQ_S
from ccarchiver_core.store.image_ledger import ImageLedger
from ccarchiver_core.store.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.image_summary import ImageSummary

HOUR_S = 3600.0

Period = tuple[float, float]
"""Begin and end as Unix times, UTC, seconds."""


async def request(
    redis: Redis, settings: Settings, names: Iterable[str], period: Period, *, dry_run: bool = False
) -> list[Result]:
    """Request that missed images be archived, or decline all if one of them cannot be.

    An image that was dismissed is missed again.

    This is safe to repeat, and safe while the workers run.

    Parameters
    ----------
    redis, settings
        The archiver's database and the site's settings.
    names : iterable of `str`
        Whole names of images.
    period : `tuple`
        An image whose time is not in it is declined.
    dry_run : `bool`
        Whether to write nothing.
    """

    def reason_against(image: ImageSummary) -> str:
        if settings.catch_up is CatchUp.OFF:
            return "CATCH_UP is off in the site file: nothing is archived later"
        if image.state not in (ImageState.MISSED, ImageState.DISMISSED):
            return _not_missed(image)
        if image.at < time.time() - KEPT_BY_DAQ_S:
            hours = KEPT_BY_DAQ_S / HOUR_S
            return f"is older than {hours:g} h: the camera has deleted it"
        return "" if _is_in(image, period) else "is of another night"

    def write(transaction: Transaction, images: Sequence[ImageSummary]) -> None:
        for image in images:
            if image.state is ImageState.DISMISSED:
                ImageLedger.end_dismissal(transaction, image.obsid, image.at)
        ImageLedger.request_catch_up(transaction, [image.obsid for image in images])

    text = "can be archived" if dry_run else "is archived as soon as no exposure is in progress"
    return await _change_all(redis, names, reason_against, None if dry_run else write, text)


async def dismiss(
    redis: Redis, names: Iterable[str], period: Period, reason: str, *, dry_run: bool = False
) -> list[Result]:
    """Dismiss missed images, or decline all if one of them cannot be dismissed.

    An image that was dismissed before gets the new reason.

    This is safe to repeat, and safe while the workers run.

    Parameters
    ----------
    redis
        The archiver's database.
    names : iterable of `str`
        Whole names of images.
    period : `tuple`
        An image whose time is not in it is declined.
    reason : `str`
        Why they will not be archived.
    dry_run : `bool`
        Whether to write nothing.
    """

    def reason_against(image: ImageSummary) -> str:
        if image.state not in (ImageState.MISSED, ImageState.DISMISSED):
            return _not_missed(image)
        return "" if _is_in(image, period) else "is of another night"

    def write(transaction: Transaction, images: Sequence[ImageSummary]) -> None:
        missed = [image.obsid for image in images if image.state is ImageState.MISSED]
        ImageLedger.dismiss(transaction, missed, reason)
        dismissed = [image.obsid for image in images if image.state is ImageState.DISMISSED]
        ImageLedger.change_dismissal(transaction, dismissed, reason)

    text = "can be dismissed" if dry_run else "is dismissed: it no longer counts as missing"
    return await _change_all(redis, names, reason_against, None if dry_run else write, text)


def _not_missed(image: ImageSummary) -> str:
    reason = f"is {image.state}, not missed"
    if image.state is ImageState.SKIPPED:
        reason += "; ccarchiver catchup --now asks the Forwarder whether the camera has it"
    return reason


def _is_in(image: ImageSummary, period: Period) -> bool:
    begin, end = period
    return begin <= image.at < end


async def _change_all(
    redis: Redis,
    names: Iterable[str],
    reason_against: Callable[[ImageSummary], str],
    write: Callable[[Transaction, Sequence[ImageSummary]], None] | None,
    text: str,
) -> list[Result]:
    """Change all images in one transaction, or none if there is a reason against one of them.

    If a worker changes one of the records meanwhile, nothing is written and all are read again.
    """
    obsids = list(dict.fromkeys(names))
    malformed = {obsid: problem for obsid in obsids if (problem := name_problem(obsid))}
    ledger = ImageLedger(redis)
    while True:
        async with redis.pipeline(transaction=True) as pipe:
            sound = [obsid for obsid in obsids if obsid not in malformed]
            if sound:
                await pipe.watch(*(keys.image(obsid) for obsid in sound))
            images = {image.obsid: image for image in await ledger.read_summaries(sound)}
            reasons = {
                obsid: malformed.get(obsid) or _reason(images.get(obsid), reason_against)
                for obsid in obsids
            }
            if any(reasons.values()):
                return [_declined(obsid, reason) for obsid, reason in reasons.items()]
            done = [Result(image=obsid, done=True, text=text) for obsid in obsids]
            if write is None:
                return done
            transaction = Transaction()
            write(transaction, [images[obsid] for obsid in obsids])
            pipe.multi()  # type: ignore[no-untyped-call]  # redis-py leaves it without types
            for words in transaction.commands:
                pipe.execute_command(*words)
            try:
                await pipe.execute()
            except WatchError:
                continue
            return done


def _reason(image: ImageSummary | None, reason_against: Callable[[ImageSummary], str]) -> str:
    if image is None:
        return "is not in the ledger; ccarchiver catchup lists the missed images"
    return reason_against(image)


def _declined(obsid: str, reason: str) -> Result:
    text = reason or "not changed, because another name is declined"
    return Result(image=obsid[:SHOWN], done=False, text=text)
