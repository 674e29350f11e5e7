"""Readers of SAL events that keep what arrives while their process does not run.

A reader of DDS keeps 100 samples by default. When it is full, the oldest sample is lost. A burst of
more than 100 events on a busy machine therefore loses events, however long salobj's queue is.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dds

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def deep_readers(domain: Any, depth: int) -> Iterator[None]:  # noqa: ANN401  salobj has no types
    """Set a deep history for the event readers that are made within a block.

    Parameters
    ----------
    domain : `lsst.ts.salobj.Domain`
        The domain of the readers.
    depth : `int`
        Samples of each index that a reader keeps.
    """
    qos = domain.event_qos_set.reader_qos
    previous = qos.history
    qos.set_policies([dds.HistoryQosPolicy(previous.kind, depth)])
    try:
        yield
    finally:
        qos.set_policies([previous])
