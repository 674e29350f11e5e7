"""Settings that version 0.2.0 renamed: for errors about old site files and their conversion."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

RENAMED = {
    "BROKER_AWAY_LIMIT": "BROKER_OUTAGE_LIMIT",
    "CONTROLLER_MISSES": "CONTROLLER_MAX_MISSED_CHECKS",
    "DEGRADED_LIMIT": "WORKER_OUTAGE_LIMIT",
    "HUNG_AFTER": "WATCHDOG_TIMEOUT",
    "LEDGER_DAYS": "LEDGER_RETENTION_DAYS",
    "MAX_BODY": "MAX_MESSAGE_BYTES",
    "MAX_DEAD_LETTERS_MEMORY": "DEAD_LETTERS_TOTAL_BYTES",
    "MAX_DEAD_LETTER_BYTES": "DEAD_LETTER_MAX_BYTES",
    "MAX_LEDGER": "MAX_LEDGER_IMAGES",
    "MAX_MEMORY_EVENTS": "MAX_BUFFERED_EVENTS",
    "PLAINTEXT_BEYOND_LOOPBACK": "ALLOW_REMOTE_PLAINTEXT",
    "REDIS_MASTER": "SENTINEL_SERVICE_NAME",
    "WHEN_LEASE_IS_HELD": "STANDBY",
}
"""The new name of each renamed setting, by its old name."""

_VALUES = {
    "PLAINTEXT_BEYOND_LOOPBACK": {"refused": False, "allowed": True},
    "WHEN_LEASE_IS_HELD": {"exit": False, "wait": True},
}
"""New value for each old one, of the settings that were words and are true or false now."""


def translate(root: Mapping[str, object]) -> dict[str, object]:
    """Return the ROOT keys of a site file with names and values of this version; safe to repeat.

    A value that the old setting did not allow is not changed, so that the check of the settings
    reports it. If a file has both names of a setting, the value under the new name counts.
    """
    found = {name: value for name, value in root.items() if name not in RENAMED}
    for name in root.keys() & RENAMED.keys():
        value = root[name]
        words = _VALUES.get(name, {})
        found.setdefault(
            RENAMED[name], words.get(value, value) if isinstance(value, str) else value
        )
    return found
