"""Text lines of ``ccarchiver status``, the most important first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel
from rich.text import Text

from ccarchiver_cli.output import ago, rough, utc, wrapped
from ccarchiver_cli.supervisord import Program
from ccarchiver_core.domain.image_record import ImageState
from ccarchiver_core.status.alarms import Alarm, Severity
from ccarchiver_core.status.overview import Overview
from ccarchiver_core.store.csc_state import ENABLED, FAULT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ccarchiver_core.status.overview import WorkerView

LABEL = 13
"""Columns of the labels at the left."""

MEGABYTE = 1_000_000
MILLISECONDS = 1000

IMAGES_SHOWN = 6
"""Unfinished images that are listed. Without alarms the output then fits on 24 lines."""

ALIVE_S = 10.0
"""Age in seconds from which the CSC's state is marked as old.

The CSC writes it every second or two.
"""

STYLES = {
    FAULT: "bold red",
    ENABLED: "bold green",
    Severity.CRITICAL: "bold red",
    Severity.WARNING: "yellow",
}


class Reading(BaseModel):
    """One reading of the archiver."""

    view: Overview
    alarms: list[Alarm]
    programs: list[Program] | None
    """Programs of supervisord, which is queried only if Redis does not answer.

    None if supervisord was not queried or does not answer.
    """


def lines(reading: Reading, width: int) -> list[Text]:
    """Return a reading as lines of at most `width` columns; names and addresses are not broken."""
    view = reading.view
    made = [*_headline(view, width), *_alarms(reading, width)]
    if not view.redis.answers:
        made += _programs(reading, width)
        return made
    made += [*_pairing(view, width), *_images(view, width)]
    made += [*_workers(view, width), *_servers(view, width)]
    return made


def _headline(view: Overview, width: int) -> Iterator[Text]:
    state = view.csc.state if view.csc else "state unknown"
    line = Text(f"{view.archiver} ")
    line.append(state, STYLES.get(state, "bold"))
    if view.csc and view.at - view.csc.seen_at > ALIVE_S:
        line.append(f" when last seen, {ago(view.csc.seen_at, view.at)}", "yellow")
    details = Text(f"  {utc(view.at)} UTC, version {view.version}", "dim")
    if line.cell_len + details.cell_len <= width:
        yield line.append(details)
    else:
        yield from (line, details)


def _alarms(reading: Reading, width: int) -> Iterator[Text]:
    if not reading.alarms:
        yield Text("no alarms", "green")
    for alarm in reading.alarms:
        yield from _labelled(alarm.severity, alarm.text, width, STYLES[alarm.severity])
        yield from _labelled("  remedy", alarm.remedy, width)


def _labelled(label: str, text: str, width: int, style: str = "") -> Iterator[Text]:
    for number, line in enumerate(wrapped(text, width - LABEL)):
        made = Text(f"{label if number == 0 else '':<{LABEL}}", style or "bold")
        made.append(line, style)
        yield made


def _programs(reading: Reading, width: int) -> Iterator[Text]:
    if reading.programs is None:
        text = "does not answer at supervisor.sock in $CCARCHIVER_RUN_DIR"
        yield from _labelled("supervisord", text, width)
        return
    for number, program in enumerate(reading.programs):
        text = f"{program.name:<18} {program.state:<9} {program.description}"
        yield from _labelled("workers" if number == 0 else "", text, width)


def _pairing(view: Overview, width: int) -> Iterator[Text]:
    pairing = view.pairing
    if pairing is None or not pairing.is_active:
        yield from _labelled("Forwarder", "none: no session is active", width)
    elif not pairing.hostname:
        yield from _labelled(
            "Forwarder", f"none is paired, {pairing.pairing}; epoch {pairing.epoch}", width
        )
    else:
        left = pairing.presence_ttl_s
        key = "is missing" if left is None else f"has {left:.1f} s left"
        since = f" for {rough(view.at - pairing.since)}" if pairing.since else ""
        text = f"{pairing.hostname} on queue {pairing.queue}{since}, epoch {pairing.epoch}; key "
        yield from _labelled("Forwarder", f"{text}{pairing.presence_key} {key}", width)


def _images(view: Overview, width: int) -> Iterator[Text]:
    rates = view.rates
    text = (
        f"{view.unfinished} in progress; last hour: {rates.accepted} accepted, "
        f"{rates.complete} complete, {rates.failed} failed, {rates.stalled} stalled, "
        f"{rates.skipped} skipped, {rates.missed} missed"
    )
    yield from _labelled("images", text, width)
    for image in view.waiting[:IMAGES_SHOWN]:
        is_stalled = image.state is ImageState.STALLED
        yield Text(f"  {image.obsid}  {image.state}", "yellow" if is_stalled else "")
        waited = rough(view.at - image.last_progress_at)
        yield from _labelled("", f"waiting {waited} for {image.waiting_on}", width)
    more = view.unfinished - min(len(view.waiting), IMAGES_SHOWN)
    if more > 0:
        yield Text(f"  and {more} more: ccarchiver images --state open")
    newest_at = view.newest_dead_letter_at
    newest = f", the newest {ago(newest_at, view.at)}" if newest_at else ""
    yield from _labelled("dead letters", f"{view.dead_letters}{newest}", width)


def _workers(view: Overview, width: int) -> Iterator[Text]:
    heading = (
        f"{'worker':<{LABEL}}{'up':>12} {'version':>8} {'memory':>7} {'CPU':>5} "
        f"{'messages':>8} {'oldest':>10}"
    )
    yield Text(heading, "bold")
    for part in view.workers:
        yield _worker(part, view.at)
        heartbeat = part.heartbeat
        if heartbeat is not None and heartbeat.state:
            yield from _labelled("", f"{heartbeat.state}{_where(view, part)}", width)
        if heartbeat is not None and heartbeat.last_error:
            text = f"last error {ago(heartbeat.last_error_at, view.at)}: {heartbeat.last_error}"
            yield from _labelled("", text, width)


def _where(view: Overview, part: WorkerView) -> str:
    """Return on which of two hosts a worker runs; empty at a site with one host."""
    if not view.has_second_host or part.heartbeat is None:
        return ""
    standby = f"standby on {part.standby}" if part.standby else "no standby"
    return f"; on {part.heartbeat.host}, {standby}"


def _worker(part: WorkerView, now: float) -> Text:
    oldest = rough(part.mailbox_oldest_s) if part.mailbox_depth else "-"
    mailbox = f" {part.mailbox_depth:>8} {oldest:>10}"
    heartbeat = part.heartbeat
    if heartbeat is None:
        line = Text(f"{part.worker:<{LABEL}}", "bold")
        return line.append(f"{'down':>12}", STYLES[Severity.CRITICAL]).append(f"{'':>23}{mailbox}")
    up = rough(now - heartbeat.started_at) if heartbeat.started_at else "?"
    memory = f"{heartbeat.rss_bytes / MEGABYTE:.0f} MB"
    version = heartbeat.version.partition("+")[0]  # the headline shows the commit of a checkout
    return Text(f"{part.worker:<{LABEL}}", "bold").append(
        f"{up:>12} {version:>8} {memory:>7} {heartbeat.cpu_share:>5.0%}{mailbox}", "not bold"
    )


def _servers(view: Overview, width: int) -> Iterator[Text]:
    redis = view.redis
    text = (
        f"{redis.address} version {redis.version}, {redis.latency_s * MILLISECONDS:.1f} ms, "
        f"{redis.used_memory_bytes / MEGABYTE:.0f} MB; {redis.durability}"
    )
    yield from _labelled("Redis", text, width)
    broker = view.broker
    if broker is None:
        return
    if not broker.is_bridge_alive:
        how = "unknown: the bridge is down"
    elif broker.since is None:
        how = broker.degraded_reason or "not connected: no session is active"
    else:
        how = f"connected for {rough(view.at - broker.since)}"
        if broker.published_at and broker.publish_s is not None:
            took = f"{broker.publish_s * MILLISECONDS:.1f} ms"
            last = ago(broker.published_at, view.at)
            how += f"; last message {last}, confirmed in {took}"
    yield from _labelled("RabbitMQ", f"{broker.address} {how}", width)
