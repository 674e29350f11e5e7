"""A ledger that fills every part of the status page, and what a browser shows of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ccarchiver_core.domain.image_record import ImageState
from ccarchiver_core.domain.session import PairedForwarder, Pairing
from ccarchiver_core.keys import SESSION as SESSION_KEY
from ccarchiver_core.store import dead_letters, session, state_history
from ccarchiver_core.store.state_history import StateChange
from ccarchiver_core.store.transaction import Transaction
from tests.health.web.web_client import write_csc_state, write_heartbeats
from tests.support.ledger_builder import EPOCH, SESSION, LedgerBuilder, Progress

if TYPE_CHECKING:
    from playwright.async_api import Page
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings

COMPLETE_IMAGES = 6
DEAD_LETTERS = 5
ENABLED = 2

REASON = (
    "no usable answer to CC_FWDR_XFER_PARAMS from the Forwarder on queue f99_consume within 5 s: "
    "the message was sent twice"
)
"""A long text, as real ones are."""

FIND_CUT_TEXTS = """() => {
  const cut = [];
  for (const node of document.querySelectorAll("body *")) {
    if (!(node instanceof HTMLElement) || !node.offsetParent) continue;
    const hasText = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    const style = getComputedStyle(node);
    if (!hasText || style.display === "inline" || node.matches(".unseen, .skip")) continue;
    const isWide = node.scrollWidth > node.clientWidth + 1;
    const isHigh = style.overflowY !== "visible" && node.scrollHeight > node.clientHeight + 1;
    if (isWide || isHigh) {
      const name = `${node.tagName.toLowerCase()}.${node.className}`;
      cut.push(`${name} ${node.textContent.trim().slice(0, 60)}`);
    }
  }
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) cut.push(`the page: ${root.scrollWidth}`);
  return cut;
}"""
"""Returns the elements whose text is wider or higher than they are, and a page that is too wide."""


def image(number: int) -> str:
    """Return the name of an exposure."""
    return f"CC_O_20261122_{number:06d}"


async def write_scene(redis: Redis, settings: Settings) -> None:
    """Write exposures in every state, missing numbers, FAULT intervals and dead letters."""
    now = time.time()
    builder = LedgerBuilder(redis, settings)
    await write_heartbeats(redis)
    await write_csc_state(redis, ENABLED)
    at = now - 3000
    for number in range(1, COMPLETE_IMAGES + 1):
        await builder.exposure(image(number), number, at + 30 * number)
    await builder.failed(image(11), 11, at + 400, REASON, 5752)
    await builder.stalled(image(12), 12, at + 430, Progress.ASSIGNED)
    await builder.unaccepted(image(13), at + 460, ImageState.SKIPPED)
    await builder.unaccepted(image(14), at + 490, ImageState.UNANNOUNCED)
    await builder.unaccepted(image(15), at + 520, ImageState.UNREADABLE)
    await builder.exposure(image(16), 16, now - 20, Progress.RETRIEVED)
    await builder.exposure(image(17), 17, now - 2, Progress.RECEIVED)
    transaction = Transaction()
    for since, state, code in ((0, "ENABLED", 0), (200, "FAULT", 5751), (380, "STANDBY", 0)):
        state_history.record(transaction, StateChange(at=at + since, state=state, error_code=code))
    state_history.record(transaction, StateChange(at=at + 395, state="ENABLED"))
    for number in range(DEAD_LETTERS):
        dead_letters.add(
            transaction,
            settings,
            origin="archive_ctrl_publish",
            reason=f"not a valid message: field {number} is missing",
            raw=b"x",
            obsid=image(number + 1),
        )
    forwarder = PairedForwarder(
        hostname="forwarder99.example",
        ip_address="127.0.0.1",
        consume_queue="f99_consume",
        presence_key="f99_association",
        since=now - 7230,
    )
    session.begin(transaction, SESSION)
    transaction.set_fields(
        SESSION_KEY,
        {"epoch": EPOCH, "pairing": Pairing.PAIRED, "forwarder": forwarder.model_dump_json()},
    )
    await builder.write(transaction)
    await redis.set(forwarder.presence_key, "pong", ex=6000)


async def cut_texts(page: Page) -> list[str]:
    """Return the texts that a browser shows only in part."""
    found: list[str] = await page.evaluate(FIND_CUT_TEXTS)
    return found
