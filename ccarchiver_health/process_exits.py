"""Recording of process exits that the event listener has sent: a log line and a counter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ccarchiver_core import keys

if TYPE_CHECKING:
    from ccarchiver_core.domain.supervised_process import SupervisedProcess
    from ccarchiver_core.store.transaction import Transaction

_log = structlog.get_logger(__name__)


def record(transaction: Transaction, program: SupervisedProcess) -> None:
    """Log the exit of a process, and count it in the transaction that acks the message."""
    facts = {
        "program": program.name,
        "state": program.state.value,
        "ended_pid": program.pid,
        "tries": program.tries,
    }
    if not program.has_crashed and program.expected:
        _log.info("process.exited", **facts)
        return
    _log.warning(
        "process.exited",
        **facts,
        remedy=f"supervisorctl status {program.name}; supervisord's log has the details",
    )
    worker = next((one for one in keys.Worker if program.name == f"ccarchiver:{one}"), None)
    if worker is not None and program.has_crashed:
        transaction.count(f"worker_crashes:{worker}")
