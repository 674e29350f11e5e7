"""Check of the consumers: a queue without a consumer, and a foreign consumer of our queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_cli.doctor.finding import failure, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.queue_state import Queue
    from ccarchiver_core.config.settings import Settings
    from ccarchiver_core.domain.session import Session

NAME = "rabbitmq.consumers"


def our_queues(settings: Settings) -> frozenset[str]:
    """Return the queues that the bridge consumes while a session is active."""
    return frozenset(
        {
            settings.forwarder_publish_queue,
            settings.telemetry_queue,
            settings.queue_from_oods,
            settings.archive_ctrl_publish_queue,
        }
    )


def evaluate_consumers(
    settings: Settings, queues: list[Queue], session: Session | None
) -> Iterator[Finding]:
    """Evaluate the numbers of consumers of the existing queues."""
    names = our_queues(settings)
    there = [queue for queue in queues if queue.exists]
    ours = [queue for queue in there if queue.name in names]
    bad = [
        *_ours(settings, ours, session),
        *_theirs(settings, [queue for queue in there if queue not in ours]),
    ]
    yield from bad
    if bad or not there:
        return
    if session is None:
        found = "each peer consumes its queue; the bridge is not checked: the session is in Redis"
        yield ok(NAME, found)
    else:
        if session.is_active:
            state = f"the bridge consumes the archiver's {len(ours)} queues"
        else:
            state = f"no session is active, so the archiver's {len(ours)} queues have no consumer"
        yield ok(NAME, f"{state}; each peer consumes its own")


def _ours(settings: Settings, queues: list[Queue], session: Session | None) -> Iterator[Finding]:
    if session is None:
        return  # the expected number depends on the session, and Redis does not answer
    expected = 1 if session.is_active else 0
    foreign = [queue.name for queue in queues if queue.consumers > expected]
    if foreign:
        yield failure(
            NAME,
            f"another program consumes the archiver's {', '.join(foreign)}: the messages that it "
            "receives are not published on SAL",
            f"{_list(settings)} shows the pids: is the replaced archiver still running?",
        )
    unread = [queue for queue in queues if queue.consumers < expected]
    if unread:
        waiting = sum(queue.messages for queue in unread)
        names = ", ".join(queue.name for queue in unread)
        yield failure(
            NAME,
            f"a session is active, but no program consumes the archiver's {names} "
            f"(messages waiting: {waiting}): the bridge is not connected",
            "supervisorctl restart ccarchiver:bridge",
        )


def _theirs(settings: Settings, queues: list[Queue]) -> Iterator[Finding]:
    for queue in queues:
        peer = _peer_of(settings, queue.name)
        if queue.consumers == 0:
            text = f"{peer} does not consume {queue.name} (messages waiting: {queue.messages})"
            cause = "it does not run, or is not connected"
            yield warning(NAME, f"{text}: {cause}", f"start or restart {peer}")
        elif queue.consumers > 1:
            text = f"{queue.consumers} processes share {peer}'s queue {queue.name}"
            effect = "each receives only some of the messages"
            remedy = f"{_list(settings)} shows the pids; stop all but one"
            yield warning(NAME, f"{text}: {effect}", remedy)


def _peer_of(settings: Settings, queue: str) -> str:
    if queue == settings.archive_ctrl_consume_queue:
        return "the Controller"
    return "the OODS" if queue == settings.queue_to_oods else "the paired Forwarder"


def _list(settings: Settings) -> str:
    return f"rabbitmqctl list_consumers -p {settings.vhost}"
