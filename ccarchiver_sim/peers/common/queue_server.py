"""A server of one queue: a RabbitMQ connection, an inbox, and the threads of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_sim.peers.common.inbox import Inbox
from ccarchiver_sim.peers.common.rabbit import RabbitConnection
from ccarchiver_sim.peers.common.runloop import print_event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ccarchiver_sim.peers.common.rabbit import ConsumerOptions
    from ccarchiver_sim.peers.common.runloop import RunLoop
    from ccarchiver_sim.peers.common.site import Site
    from ccarchiver_sim.peers.common.wire import Message


class QueueServer:
    """Server of one queue until the run loop stops.

    Parameters
    ----------
    loop : `RunLoop`
        The process's run loop.
    site : `Site`
        Address of RabbitMQ and the credentials.
    options : `ConsumerOptions`
        Queue and how to consume it.
    exchange : `str`
        Exchange to which answers are published.
    """

    def __init__(self, loop: RunLoop, site: Site, options: ConsumerOptions, exchange: str) -> None:
        self._loop = loop
        self._options = options
        self._about: dict[str, object] = {}
        self._is_ready = False
        self._inbox = Inbox(loop)
        self.link = RabbitConnection(
            loop=loop,
            broker=site.settings.brokers[0],
            credentials=site.credentials,
            options=options,
            exchange=exchange,
            on_delivery=self._inbox.put,
            on_serving=self._on_serving,
        )

    def serve(self, handlers: Mapping[str, Callable[[Message], None]], **about: object) -> None:
        """Handle messages in one thread until the run loop stops.

        Parameters
        ----------
        handlers : mapping
            Handler for each MSG_TYPE.
        **about
            Additional fields of the `ready` line on stdout.

        Raises
        ------
        PeerError
            If the queue cannot be served and an operator must correct the cause.
        """
        self._run(lambda: self._inbox.run(handlers, self.link.ack), about)

    def serve_batches(
        self,
        message_type: str,
        handle: Callable[[Sequence[Message]], bool],
        limit: int,
        **about: object,
    ) -> None:
        """Handle the messages that wait together, in one thread, until the run loop stops.

        Parameters
        ----------
        message_type : `str`
            Their MSG_TYPE.
        handle : callable
            Handler; it returns whether it has handled the messages, or the peer ends before.
        limit : `int`
            Maximum number of messages in one call.
        **about
            Additional fields of the `ready` line on stdout.

        Raises
        ------
        PeerError
            If the queue cannot be served and an operator must correct the cause.
        """
        self._run(
            lambda: self._inbox.run_batches(message_type, handle, self.link.ack, limit), about
        )

    def _run(self, work: Callable[[], None], about: dict[str, object]) -> None:
        self._about = about
        if not self._options.declare:
            # Another program may declare the queue only after this peer is ready.
            self._print_ready()
        self.link.start()
        worker = self._loop.spawn("inbox", work)
        try:
            self._loop.wait()
        finally:
            worker.join()
            self.link.close()

    def _on_serving(self) -> None:
        print_event("serving", queue=self._options.queue)
        if not self._is_ready:
            self._print_ready()

    def _print_ready(self) -> None:
        self._is_ready = True
        self._loop.ready(queue=self._options.queue, **self._about)
