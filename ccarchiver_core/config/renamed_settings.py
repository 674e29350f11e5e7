"""Settings that version 0.2.0 renamed: for errors about old site files and their conversion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_core.config.yaml_tree import Scalar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ccarchiver_core.config.site_file import SiteFile

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
    reports it. If a file has both names of a setting, the value under the new name is returned; see
    `conflicts`.
    """
    found = {name: value for name, value in root.items() if name not in RENAMED}
    for name in root.keys() & RENAMED.keys():
        found.setdefault(RENAMED[name], _translated(name, root[name]))
    return found


def conflicts(root: Mapping[str, object]) -> list[str]:
    """Return the old names of the settings that have different values under both names."""
    return [
        old
        for old, new in RENAMED.items()
        if old in root
        and new in root
        and _meaning(_translated(old, root[old])) != _meaning(root[new])
    ]


def explain(site: SiteFile, old: str) -> str:
    """Return the message about an old name in a file: file, line, key, and what to do."""
    new = RENAMED[old]
    beginning = f"{site.where((old,))}: ROOT.{old}"
    if old in conflicts(site.root):
        values = f"{_entry(site, old)} and {_entry(site, new)}"
        return (
            f"{beginning} is the old name of {new}, and the file has different values for the two: "
            f"{values}; keep the right value as {new} and remove {old}"
        )
    if new in site.root:
        return f"{beginning} is now {new}, which the file has too; remove {old}"
    return f"{beginning} is now {new}; ccarchiver config migrate writes the file in the new form"


def _translated(old: str, value: object) -> object:
    return _VALUES.get(old, {}).get(value, value) if isinstance(value, str) else value


def _meaning(value: object) -> object:
    return value.value if isinstance(value, Scalar) else value


def _entry(site: SiteFile, name: str) -> str:
    """Return a key with its value, and its line unless a merged mapping has the key."""
    line = site.line((name,))
    text = f"{name}: {site.text((name,)) or ''}".rstrip()
    return text if line is None else f"{text} (line {line})"
