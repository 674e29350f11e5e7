"""Who takes messages from the queues: a queue nobody takes from, and a foreigner who takes from ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_cli.doctor.finding import failure, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.rabbit_queues import Queue
    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.session import Session

NAME = "rabbitmq.consumers"


def our_queues(settings: Settings) -> frozenset[str]:
    """Give the queues the bridge consumes, while a session is wanted."""
    return frozenset(
        {
            settings.forwarder_publish_queue,
            settings.telemetry_queue,
            settings.queue_from_oods,
            settings.archive_ctrl_publish_queue,
        }
    )


def evaluate_consumers(settings: Settings, queues: list[Queue], session: Session | None) -> Iterator[Finding]:
    """Judge the numbers of consumers of the queues that are there."""
    names = our_queues(settings)
    there = [queue for queue in queues if queue.exists]
    ours = [queue for queue in there if queue.name in names]
    bad = [*_ours(settings, ours, session), *_theirs(settings, [queue for queue in there if queue not in ours])]
    yield from bad
    if bad or not there:
        return
    if session is None:
        yield ok(NAME, "each peer takes from its queue; whether the bridge should take from ours is in Redis")
    else:
        state = "the bridge takes" if session.is_active else "no session is wanted, so nobody takes"
        yield ok(NAME, f"{state} from the archiver's {len(ours)} queues; each peer takes from its own")


def _ours(settings: Settings, queues: list[Queue], session: Session | None) -> Iterator[Finding]:
    if session is None:
        return  # how many there should be is in Redis, which does not answer
    wanted = 1 if session.is_active else 0
    foreign = [queue.name for queue in queues if queue.consumers > wanted]
    if foreign:
        yield failure(
            NAME,
            f"somebody else takes messages from the archiver's {', '.join(foreign)}: what it takes never becomes an "
            "event on SAL",
            f"{_list(settings)} shows the pids: is the replaced archiver still running?",
        )
    left = [queue for queue in queues if queue.consumers < wanted]
    if left:
        waiting = sum(queue.messages for queue in left)
        yield failure(
            NAME,
            f"a session is wanted, but nobody takes from the archiver's {', '.join(queue.name for queue in left)} "
            f"({waiting} waiting): the bridge is not connected",
            "supervisorctl restart ccarchiver:bridge",
        )


def _theirs(settings: Settings, queues: list[Queue]) -> Iterator[Finding]:
    for queue in queues:
        who = _peer_of(settings, queue.name)
        if queue.consumers == 0:
            text = f"{who} does not take from {queue.name} ({queue.messages} waiting): it does not run"
            yield warning(NAME, f"{text}, or is not connected", f"start or restart {who}")
        elif queue.consumers > 1:
            text = f"{queue.consumers} processes share {who}'s queue {queue.name}: each gets only some of the messages"
            yield warning(NAME, text, f"{_list(settings)} shows the pids; end all but one")


def _peer_of(settings: Settings, queue: str) -> str:
    if queue == settings.archive_ctrl_consume_queue:
        return "the Controller"
    return "the OODS" if queue == settings.queue_to_oods else "the paired Forwarder"


def _list(settings: Settings) -> str:
    return f"rabbitmqctl list_consumers -p {settings.vhost}"
