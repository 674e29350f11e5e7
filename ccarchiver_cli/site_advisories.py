"""Advisories about valid settings that are probably wrong at a deployed site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.settings import LOG_DIR_VARIABLE, PLAINTEXT_KEY, Settings
from ccarchiver_core.config.tls import client_context
from ccarchiver_core.config.value_types import CatchUp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

    from ccarchiver_core.config.site_file import KeyPath

LONG_ACK_TIMEOUT = 30.0
"""Seconds of ACK_TIMEOUT above which a silent peer is detected only after minutes.

Sites of the replaced archiver have 60.
"""

FORWARDERS_LOOK_S = 10.0
"""Interval at which a Forwarder checks whether it is paired; if not, it registers in the list."""

SITE_KEYS = {
    "REDIS_HOST": "set it to the Redis of this site",
    "BASE_BROKER_ADDR": "set it to the RabbitMQ and the virtual host of this site",
    "ARCHIVE.ARCHIVE_LOGIN": "Forwarders copy files with this login",
    "ARCHIVE.ARCHIVE_IP": (
        "Forwarders copy files to this address; the default only works on one machine"
    ),
    "ARCHIVE.FORWARDER_STAGING": "set it to the tree of this site",
    "ARCHIVE.OODS_STAGING": "set it to the tree of this site",
    "ARCHIVE.DBB_STAGING": "set it to the tree of this site",
}
"""Keys whose default is right for a developer's machine; a deployed site must check them."""


@dataclass(frozen=True)
class Advisory:
    """One advisory."""

    key: str | None
    """Key of the site file; None if the advisory depends on the environment."""
    text: str


def advisories(settings: Settings) -> Iterator[Advisory]:
    """Yield the advisories for a site."""
    for key, meaning in SITE_KEYS.items():
        value, is_set = _look_up(settings, tuple(key.split(".")))
        if not is_set:
            yield Advisory(key, f"{key} is not set, so it is {value}: {meaning}")
    if settings.log_dir is None:
        text = f"neither LOGGING_DIR nor ${LOG_DIR_VARIABLE} is set: logs go to standard error only"
        yield Advisory(None, text)
    if settings.ack_timeout > LONG_ACK_TIMEOUT:
        yield Advisory(
            "ACK_TIMEOUT",
            f"ACK_TIMEOUT is {settings.ack_timeout:g} s, as in files of the replaced archiver: "
            "a silent peer is detected only after that time; 5 is better",
        )
    if settings.catch_up is CatchUp.AUTOMATIC and not settings.header_url_template:
        yield Advisory(
            "CATCH_UP",
            "CATCH_UP is automatic and HEADER_URL_TEMPLATE is not set: a missed image without a "
            "header keeps the next one waiting until it is stalled "
            f"(STALLED_AFTER, {settings.stalled_after:g} s); with HEADER_URL_TEMPLATE the header "
            "is found",
        )
    if settings.scan_interval < settings.scan_timeout:
        yield Advisory(
            "SCAN_INTERVAL",
            f"SCAN_INTERVAL is {settings.scan_interval:g} s, shorter than SCAN_TIMEOUT "
            f"({settings.scan_timeout:g} s): a Forwarder that does not answer is asked again "
            "without a pause, and its acknowledgements are never late; 600 is usual",
        )
    for name, section in settings.in_plaintext():
        yield Advisory(
            PLAINTEXT_KEY,
            f"the connection to {name} is not encrypted, so its password can be read on the "
            f"network: {section}.USE: true encrypts it",
        )
    yield from _files(settings)
    timeouts = {"PAIR_TIMEOUT": settings.pair_timeout, "REASSIGN_GRACE": settings.reassign_grace}
    for key, seconds in timeouts.items():
        if seconds < FORWARDERS_LOOK_S:
            yield Advisory(
                key,
                f"{key} is {seconds:g} s: a running Forwarder registers only every "
                f"{FORWARDERS_LOOK_S:g} s, so the search may end too early; 15 is better",
            )
    yield from _queues(settings)


def _queues(settings: Settings) -> Iterator[Advisory]:
    """Yield an advisory about the names of the two queues of the OODS."""
    if settings.queue_to_oods == settings.queue_from_oods:
        yield Advisory(
            "OODS_CONSUME_QUEUE",
            f"OODS_PUBLISH_QUEUE and OODS_CONSUME_QUEUE are both {settings.queue_to_oods}: "
            "the archiver would consume the messages to the OODS",
        )
    elif settings.queue_to_oods != settings.oods_publish_queue:
        yield Advisory(
            "OODS_CONSUME_QUEUE",
            "OODS_PUBLISH_QUEUE and OODS_CONSUME_QUEUE are named from the side of the OODS; they "
            f"are read the other way round: to the OODS {settings.queue_to_oods}, "
            f"from it {settings.queue_from_oods}",
        )


def _files(settings: Settings) -> Iterator[Advisory]:
    """Yield advisories about the files of encryption.

    They are not errors of the site file, because another host may have the files.
    """
    sections = {"REDIS_TLS": settings.redis_tls, "RABBITMQ_TLS": settings.rabbitmq_tls}
    for section, tls in sections.items():
        if not tls.use:
            continue
        try:
            client_context(tls, section)
        except ConfigError as error:
            yield Advisory(None, f"on this host: {error}")


def _look_up(part: BaseModel, path: KeyPath) -> tuple[object, bool]:
    """Return the value of a key, and whether the site file has it (also in a merged mapping)."""
    name = path[0].lower()
    value = getattr(part, name)
    if len(path) > 1:
        return _look_up(value, path[1:])
    return value, name in part.model_fields_set
