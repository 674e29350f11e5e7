"""A site's settings: the keys of ``ccarchiver_config.yaml``, and what follows from them."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import ValidationError, model_validator

from ccarchiver_core import keys
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.addresses import (
    BrokerAddress,
    HostPort,
    addresses,
    broker_address,
    host_and_port,
    is_loopback,
)
from ccarchiver_core.config.renamed_settings import RENAMED, conflicts, explain, translate
from ccarchiver_core.config.site_file import SiteFile
from ccarchiver_core.config.site_schema import FROM_OODS, TO_OODS, SiteSchema
from ccarchiver_core.config.typed_values import typed_values
from ccarchiver_core.config.validation_messages import message, variable_message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

    from ccarchiver_core.config.site_sections import Beacon, Wavefront

CONFIG_FILE = "ccarchiver_config.yaml"
CONFIG_DIR_VARIABLE = "IIP_CONFIG_DIR"
MISSING_FILE_REMEDY = (
    f"put the site's configuration there or set {CONFIG_DIR_VARIABLE} to its directory"
)
LOG_DIR_VARIABLE = "IIP_LOG_DIR"
SECONDS_A_DAY = 86_400
PLAINTEXT_KEY = "ALLOW_REMOTE_PLAINTEXT"
PLAINTEXT_VARIABLE = "CCARCHIVER_ALLOW_REMOTE_PLAINTEXT"
"""For an unchanged site file of the replaced archiver that names brokers on other hosts."""


class Settings(SiteSchema):
    """Every setting of the three workers, with the rules for several of them together."""

    @model_validator(mode="after")
    def _databases_apart(self) -> Self:
        if self.archiver_redis_db == self.forwarder_redis_db:
            msg = (
                f"ARCHIVER_REDIS_DB and FORWARDER_REDIS_DB are both {self.archiver_redis_db}: "
                "a Forwarder empties its database whenever it starts; "
                "give the archiver one of its own (14 is usual)"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _plaintext_only_where_said(self) -> Self:
        if not self.allow_remote_plaintext:
            keys_of_hosts = {
                "REDIS_TLS": "REDIS_SENTINELS" if self.redis_sentinels else "REDIS_HOST",
                "RABBITMQ_TLS": "BASE_BROKER_ADDR",
            }
            for name, section in self.in_plaintext():
                msg = (
                    f"{name} ({keys_of_hosts[section]}) is on another host and {section} does not "
                    "encrypt the connection: "
                    f"set {section}.USE: true, "
                    f"or set {PLAINTEXT_KEY}: true (for a site file that must not change: "
                    f"{PLAINTEXT_VARIABLE}=true in the environment)"
                )
                raise ValueError(msg)
        return self

    def in_plaintext(self) -> list[tuple[str, str]]:
        """Return the servers on other hosts to which connections are not encrypted.

        Returns
        -------
        servers
            For each one: its name and address, and the section that would encrypt the connection.
        """
        redis = [one.host for one in self.sentinels] or [self.redis_host]
        ways = (
            ("Redis", "REDIS_TLS", self.redis_tls, redis),
            (
                "RabbitMQ",
                "RABBITMQ_TLS",
                self.rabbitmq_tls,
                [broker.host for broker in self.brokers],
            ),
        )
        return [
            (f"{what} at {host}", section)
            for what, section, tls, hosts in ways
            for host in hosts
            if not tls.use and not is_loopback(host)
        ]

    @model_validator(mode="after")
    def _abandoned_after_stalled(self) -> Self:
        if self.abandoned_after <= self.stalled_after:
            msg = (
                f"ABANDONED_AFTER ({self.abandoned_after:g} s) must be longer than STALLED_AFTER "
                f"({self.stalled_after:g} s), otherwise no image ever becomes stalled; "
                "raise ABANDONED_AFTER or lower STALLED_AFTER"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _scanned_images_are_in_the_ledger(self) -> Self:
        days = self.scan_window / SECONDS_A_DAY
        if days >= self.ledger_retention_days:
            msg = (
                f"SCAN_WINDOW ({self.scan_window:g} s, {days:g} days) must be shorter than "
                f"LEDGER_RETENTION_DAYS ({self.ledger_retention_days:g}), otherwise images that "
                "are no longer in the ledger count as missed; "
                "lower SCAN_WINDOW or raise LEDGER_RETENTION_DAYS"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _dead_letters_whole(self) -> Self:
        if self.dead_letter_max_bytes < self.max_message_bytes:
            msg = (
                f"DEAD_LETTER_MAX_BYTES ({self.dead_letter_max_bytes}) must be at least "
                f"MAX_MESSAGE_BYTES ({self.max_message_bytes}), otherwise a rejected message is "
                "stored in part and cannot be requeued; "
                "raise DEAD_LETTER_MAX_BYTES or lower MAX_MESSAGE_BYTES"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _no_message_to_itself(self) -> Self:
        own = {
            "FORWARDER_PUBLISH_QUEUE": self.forwarder_publish_queue,
            "ARCHIVE_CTRL_PUBLISH_QUEUE": self.archive_ctrl_publish_queue,
            "TELEMETRY_QUEUE": self.telemetry_queue,
        }
        for name, queue in own.items():
            if queue == self.archive_ctrl_consume_queue:
                msg = (
                    f"{name} and ARCHIVE_CTRL_CONSUME_QUEUE are both {queue}: the archiver would "
                    "consume the messages to the Controller; use different queues"
                )
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _instructions_are_distinguishable(self) -> Self:
        instructions = {
            "NEW_ARCHIVE_ITEM": self.new_archive_item,
            "FWDR_XFER_PARAMS": self.fwdr_xfer_params,
            "FWDR_END_READOUT": self.fwdr_end_readout,
            "FWDR_HEADER_READY": self.fwdr_header_ready,
        }
        first: dict[str, str] = {}
        for name, kind in instructions.items():
            if first.setdefault(kind, name) != name:
                msg = (
                    f"{name} and {first[kind]} are both {kind}: the peers could not distinguish "
                    "the messages; use different types"
                )
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _association_key_is_free(self) -> Self:
        if self.association_key == keys.FORWARDER_LIST or self.association_key.startswith(
            keys.PREFIX
        ):
            msg = (
                f"ASSOCIATION_KEY ({self.association_key}) must not be {keys.FORWARDER_LIST} nor "
                f'begin with "{keys.PREFIX}", because the archiver uses these keys itself; '
                "write another name, ccarchiver_association is usual"
            )
            raise ValueError(msg)
        return self

    @property
    def beacon(self) -> Beacon:
        """Times of the association key."""
        return self.csc.beacon

    @property
    def wfs(self) -> Wavefront:
        """Raft and boards of an image."""
        return self.ats

    @property
    def start_limit(self) -> float:
        """Time limit of ``start``: START_TIMEOUT, or the sum of its waits if that is longer.

        Old sites have an ACK_TIMEOUT of 60 s.
        """
        return max(
            self.start_timeout, self.connect_timeout + self.pair_timeout + 3 * self.ack_timeout
        )

    @property
    def _oods_queues_swapped(self) -> bool:
        """Whether the site file has the two well-known names swapped, as seen from the OODS."""
        return self.oods_publish_queue == FROM_OODS or self.oods_consume_queue == TO_OODS

    @property
    def queue_to_oods(self) -> str:
        """Queue that the OODS consumes."""
        return self.oods_consume_queue if self._oods_queues_swapped else self.oods_publish_queue

    @property
    def queue_from_oods(self) -> str:
        """Queue to which the OODS publishes its statuses; the archiver consumes it."""
        return self.oods_publish_queue if self._oods_queues_swapped else self.oods_consume_queue

    @property
    def queues(self) -> frozenset[str]:
        """All queues of the site except the Forwarders' own."""
        return frozenset(
            {
                self.forwarder_publish_queue,
                self.oods_publish_queue,
                self.oods_consume_queue,
                self.archive_ctrl_publish_queue,
                self.archive_ctrl_consume_queue,
                self.telemetry_queue,
            }
        )

    @cached_property  # read for each file status; the full camera has 205
    def ccds(self) -> tuple[tuple[str, str], ...]:
        """Raft and sensor of each CCD of an image, in the order of the boards."""
        return tuple(ccd for board in self.ats.ccds for ccd in self.ats.sensors_of(board))

    @property
    def files_per_image(self) -> int:
        """Number of files of a complete image."""
        return len(self.ccds)

    @property
    def brokers(self) -> tuple[BrokerAddress, ...]:
        """RabbitMQ's addresses; at least one."""
        return tuple(broker_address(address) for address in addresses(self.base_broker_addr))

    @property
    def vhost(self) -> str:
        """RabbitMQ's virtual host, the same at all addresses."""
        return self.brokers[0].vhost

    @property
    def broker_text(self) -> str:
        """RabbitMQ's addresses in the form for error messages."""
        return f"{', '.join(broker.address for broker in self.brokers)} (vhost {self.vhost})"

    @property
    def sentinels(self) -> tuple[HostPort, ...]:
        """The Sentinels' addresses; empty for a direct connection to Redis."""
        return tuple(host_and_port(address) for address in self.redis_sentinels)

    @property
    def redis_address(self) -> str:
        """Redis' address in the form for error messages."""
        if self.redis_sentinels:
            where = f"{self.sentinel_service_name} by Sentinel at {', '.join(self.redis_sentinels)}"
        else:
            where = f"{self.redis_host}:{self.redis_port}"
        return f"{where} (database {self.archiver_redis_db})"

    @property
    def log_dir(self) -> Path | None:
        """Directory of the log files: ``$IIP_LOG_DIR``, else LOGGING_DIR; None for no log files."""
        variable = os.environ.get(LOG_DIR_VARIABLE)
        return Path(variable) if variable else self.logging_dir


def settings_path() -> Path:
    """Return the path of the site file.

    Raises
    ------
    ConfigError
        If ``$IIP_CONFIG_DIR`` is not set.
    """
    folder = os.environ.get(CONFIG_DIR_VARIABLE)
    if not folder:
        msg = f"{CONFIG_DIR_VARIABLE} is not set; set it to the directory that holds {CONFIG_FILE}"
        raise ConfigError(msg)
    return Path(folder) / CONFIG_FILE


def load_settings(path: Path | None = None, *, is_old: bool = False) -> Settings:
    """Read and check a site file; safe to repeat.

    Parameters
    ----------
    path : `pathlib.Path`, optional
        The file; by default ``$IIP_CONFIG_DIR/ccarchiver_config.yaml``.
    is_old : `bool`
        Whether the file is of an earlier version. Then renamed settings are accepted. Unencrypted
        connections to other hosts are allowed too, if the file has any and neither the file nor the
        environment sets ALLOW_REMOTE_PLAINTEXT.

    Raises
    ------
    ConfigError
        If the file is invalid. The text has one line for each problem: file, line, key and problem.
    """
    site = SiteFile(settings_path(), MISSING_FILE_REMEDY) if path is None else SiteFile(path)
    content: Mapping[str, object] = site.root
    problems: list[str] = []
    if is_old:
        content = translate(site.root)
        problems += [explain(site, old) for old in conflicts(site.root)]
        for old, new in RENAMED.items():
            site.add_name(old, new)
    root = typed_values(content, Settings)
    plaintext = os.environ.get(PLAINTEXT_VARIABLE)
    if plaintext:
        root = root | {PLAINTEXT_KEY: plaintext}
    try:
        settings = _validated(root, may_add_permission=is_old and PLAINTEXT_KEY not in root)
    except ValidationError as error:
        problems += [_message(item, site) for item in error.errors()]
        raise ConfigError("\n".join(problems)) from None
    if problems:
        raise ConfigError("\n".join(problems))
    return settings


def _validated(root: dict[str, object], *, may_add_permission: bool) -> Settings:
    """Return the settings, with the permission for plaintext if they need it and may have it.

    Raises
    ------
    pydantic.ValidationError
        If they are invalid even so.
    """
    try:
        return Settings.model_validate(root)
    except ValidationError:
        if not may_add_permission:
            raise
    return Settings.model_validate(root | {PLAINTEXT_KEY: True})


def _message(error: ErrorDetails, site: SiteFile) -> str:
    if error["loc"] == (PLAINTEXT_KEY,) and os.environ.get(PLAINTEXT_VARIABLE):
        return variable_message(error, PLAINTEXT_VARIABLE)
    return message(error, site, Settings)
