"""What is allowed in a site file, but a deployed site has to have meant it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.settings import LOG_DIR_VARIABLE, PLAINTEXT_KEY, Settings
from ccarchiver_core.config.tls import client_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

    from ccarchiver_core.config.site_file import KeyPath

LONG_ACK_TIMEOUT = 30.0
"""Seconds; sites of the replaced archiver have 60. Above it, a silent peer is noticed only after minutes."""

FORWARDERS_LOOK_S = 10.0
"""How often a Forwarder looks whether it is still paired, and lists itself if not."""

SITE_KEYS = {
    "REDIS_HOST": "the Redis of this site",
    "BASE_BROKER_ADDR": "the RabbitMQ and the virtual host of this site",
    "ARCHIVE.ARCHIVE_LOGIN": "Forwarders copy files with this login",
    "ARCHIVE.ARCHIVE_IP": "Forwarders copy files to this address: the default only works on one machine",
    "ARCHIVE.FORWARDER_STAGING": "the tree of the site",
    "ARCHIVE.OODS_STAGING": "the tree of the site",
    "ARCHIVE.DBB_STAGING": "the tree of the site",
}
"""Keys whose default is right for one machine on a desk, and that a deployed site must think about."""


@dataclass(frozen=True)
class Advisory:
    """One thing to think about."""

    key: str | None
    """The key of the site file it is about; None if the environment has a part in it."""
    text: str


def advisories(settings: Settings) -> Iterator[Advisory]:
    """Give what a deployed site should look at a second time."""
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
            f"ACK_TIMEOUT is {settings.ack_timeout:g} s, as in files of the replaced archiver: a silent peer is "
            "noticed only after that time; 5 is better",
        )
    for name, section in settings.in_plaintext():
        yield Advisory(
            PLAINTEXT_KEY,
            f"what goes to {name}, its password too, can be read on the way: {section}.USE: true encrypts it",
        )
    yield from _files(settings)
    for key, seconds in (("PAIR_TIMEOUT", settings.pair_timeout), ("REASSIGN_GRACE", settings.reassign_grace)):
        if seconds < FORWARDERS_LOOK_S:
            yield Advisory(
                key,
                f"{key} is {seconds:g} s: a Forwarder that lives lists itself only every {FORWARDERS_LOOK_S:g} s, so "
                "it may be given up too early; 15 is better",
            )
    if settings.queue_to_oods == settings.queue_from_oods:
        yield Advisory(
            "OODS_CONSUME_QUEUE",
            f"OODS_PUBLISH_QUEUE and OODS_CONSUME_QUEUE are both {settings.queue_to_oods}: the archiver would take "
            "what is meant for the OODS",
        )
    elif settings.queue_to_oods != settings.oods_publish_queue:
        yield Advisory(
            "OODS_CONSUME_QUEUE",
            "OODS_PUBLISH_QUEUE and OODS_CONSUME_QUEUE are named as the OODS sees them; they are read the other way "
            f"round: to the OODS {settings.queue_to_oods}, from it {settings.queue_from_oods}",
        )


def _files(settings: Settings) -> Iterator[Advisory]:
    """Look at the files of encryption; another host may have other ones, so they are no rule of the site file."""
    for section, tls in (("REDIS_TLS", settings.redis_tls), ("RABBITMQ_TLS", settings.rabbitmq_tls)):
        if not tls.use:
            continue
        try:
            client_context(tls, section)
        except ConfigError as error:
            yield Advisory(None, f"on this host: {error}")


def _look_up(part: BaseModel, path: KeyPath) -> tuple[object, bool]:
    """Give the value of a key, and whether the site file has it (merged YAML mappings count)."""
    name = path[0].lower()
    value = getattr(part, name)
    if len(path) > 1:
        return _look_up(value, path[1:])
    return value, name in part.model_fields_set
