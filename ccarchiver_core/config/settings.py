"""A site's settings: the ROOT keys of ``ccarchiver_config.yaml``, each with a default and a meaning."""

from __future__ import annotations

import contextlib
import os
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from ccarchiver_core import keys
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.renamed_settings import RENAMED, translate
from ccarchiver_core.config.site_file import SiteFile
from ccarchiver_core.config.site_sections import (
    HEARTBEAT_S,
    MAX_AMQP_HEARTBEAT,
    PORT_LIMIT,
    AbsolutePath,
    Archive,
    Beacon,
    BrokerAddress,
    ConfigSection,
    Count,
    Csc,
    HostPort,
    Name,
    Port,
    Queue,
    SalNames,
    Seconds,
    Tls,
    Wavefront,
    addresses,
    check_broker_addresses,
    check_sentinel,
    check_server,
    is_loopback,
    join_addresses,
    to_list,
)

CONFIG_FILE = "ccarchiver_config.yaml"
CONFIG_DIR_VARIABLE = "IIP_CONFIG_DIR"
LOG_DIR_VARIABLE = "IIP_LOG_DIR"
PLAINTEXT_KEY = "ALLOW_REMOTE_PLAINTEXT"
PLAINTEXT_VARIABLE = "CCARCHIVER_ALLOW_REMOTE_PLAINTEXT"
"""For a site whose file, of the replaced archiver, names brokers on other hosts and shall stay as it is."""

_KEY = re.compile(r"[A-Z][A-Z_]+")
"""What may be a key in an error's text."""

TO_OODS, FROM_OODS = "cc_publish_to_oods", "oods_publish_to_cc"
"""The names the two OODS queues have at every known site."""


class Settings(ConfigSection):
    """Every setting of the three workers. Times are in seconds unless a name says otherwise.

    Notes
    -----
    The first group are the keys that site files of the replaced archiver have; the second group is new.
    """

    redis_host: Annotated[str, AfterValidator(check_server)] = "127.0.0.1"
    """Host of the Redis that the workers share with Forwarders."""
    redis_port: Port = 6379
    """Port of that Redis."""
    archiver_redis_db: Annotated[int, Field(ge=0)] = 14
    """The archiver's database; Forwarders list themselves in it."""
    forwarder_redis_db: Annotated[int, Field(ge=0)] = 1
    """The Forwarders' own database: they run FLUSHDB on it at every start."""
    base_broker_addr: Annotated[str, BeforeValidator(join_addresses), AfterValidator(check_broker_addresses)] = (
        "127.0.0.1:5672/%2ftest_cc"
    )
    """RabbitMQ: ``host:port/vhost``, a slash in the vhost's name written ``%2f``. Several, with commas between, are
    the nodes of one cluster, tried in this order."""
    forwarder_publish_queue: Queue = "cc_foreman_ack_publish"
    """Answers of Forwarders and Controller; the archiver consumes it."""
    # Code reads the next two as `queue_to_oods` and `queue_from_oods`.
    oods_publish_queue: Queue = TO_OODS
    """Requests to the OODS, as the archiver's side names it; the well-known names may also be swapped."""
    oods_consume_queue: Queue = FROM_OODS
    """Statuses from the OODS; the archiver consumes it."""
    archive_ctrl_publish_queue: Queue = "archive_ctrl_publish"
    """Statuses from the Controller; the archiver consumes it."""
    archive_ctrl_consume_queue: Queue = "archive_ctrl_consume"
    """Messages to the Controller."""
    telemetry_queue: Queue = "telemetry_queue"
    """Statuses from Forwarders; the archiver consumes it."""
    camera_name: Name = "COMCAM"
    """Camera, as the events on SAL name it."""
    archiver_name: Name = "CCArchiver"
    """Archiver, as the events on SAL name it."""
    short_name: Name = "CC"
    """DEVICE in messages to a Forwarder, and how their types begin."""
    archive_controller_name: Name = "ARCHIVE_CTRL"
    """COMPONENT in the Controller's answers."""
    association_key: Name = "ccarchiver_association"
    """Redis key by which a paired Forwarder sees that the archiver lives."""
    file_ingest_request: Name = "CC_FILE_INGEST_REQUEST"
    """Name some releases of the OODS give to IMAGE_IN_OODS."""
    new_archive_item: Name = "NEW_CC_ARCHIVE_ITEM"
    """Message type: a new image, to the Controller."""
    fwdr_xfer_params: Name = "CC_FWDR_XFER_PARAMS"
    """Message type: where an image's files go, to the Forwarder."""
    fwdr_end_readout: Name = "CC_FWDR_END_READOUT"
    """Message type: an image can be fetched, to the Forwarder."""
    fwdr_header_ready: Name = "CC_FWDR_HEADER_READY"
    """Message type: an image's header is there, to the Forwarder."""
    fwdr_health_check_ack: Name = "CC_FWDR_HEALTH_CHECK_ACK"
    """Message type: a Forwarder's answer that needs no handling."""
    ack_timeout: Seconds = 5.0
    """How long a peer may take to acknowledge a message, and how often the Controller's health is checked."""
    logging_dir: AbsolutePath | None = None
    """Where log files go; $IIP_LOG_DIR comes before it."""
    csc: Csc = Csc()
    """Section with BEACON."""
    archive: Archive = Archive()
    """Section with login, address and staging trees."""
    ats: Wavefront = Wavefront()
    """Section with raft and boards of an image."""

    sal: SalNames = SalNames()
    """Section with the names of the SAL components; a sister archiver has others."""
    pair_timeout: Seconds = 15.0
    """How long ``start`` waits for a Forwarder to list itself: Forwarders look every 10 s, plus some margin."""
    reassign_grace: Seconds = 15.0
    """How long to look for another Forwarder when one is lost: a lost one that lives lists itself within 10 s."""
    connect_timeout: Seconds = 10.0
    """How long ``start`` waits for a broker before it gives up with 5071 or 5701."""
    start_timeout: Seconds = 60.0
    """How long ``start`` waits in all, the other two workers starting included; longer if ACK_TIMEOUT is, see
    `start_limit`."""
    resume_window: Seconds = 60.0
    """A CSC that is back within this time of a stop takes up its state, session and pairing."""
    worker_outage_limit: Seconds = 60.0
    """How long the CSC stays ENABLED while the bridge or the health worker is away."""
    broker_outage_limit: Seconds = 300.0
    """How long the CSC stays ENABLED while Redis or RabbitMQ is away; longer than any restart of a broker."""
    controller_max_missed_checks: Count = 3
    """Health checks in a row that the Controller may leave unanswered: a restart of it takes two."""
    stalled_after: Seconds = 300.0
    """An image that waits longer than this for its next step is reported as stalled."""
    abandoned_after: Seconds = 86400.0
    """An unfinished image this old goes to the dead letters, so that no new session sends its orders again."""
    lease_ttl: Seconds = 15.0
    """How long a worker's lease outlives its holder; a second instance is refused meanwhile."""
    watchdog_timeout: Annotated[float, Field(gt=HEARTBEAT_S, allow_inf_nan=False)] = 30.0
    """A worker whose process lives but whose heartbeat is older than this is ended, and started again."""
    publish_timeout: Seconds = 5.0
    """How long RabbitMQ may take to confirm a message before the connection counts as broken."""
    amqp_heartbeat: Annotated[int, Field(gt=0, le=MAX_AMQP_HEARTBEAT)] = 5
    """RabbitMQ's heartbeat: a half-open connection is noticed within two of them."""
    presence_grace: Seconds = 1.0
    """How long a Forwarder's key may be missing, so that one written late does not count as a death."""
    standby: bool = False
    """Whether a worker whose lease is held by another instance waits as its standby, on a site with a second host.
    Without it such a worker exits: on one host a second start is a mistake."""
    redis_sentinels: Annotated[
        tuple[Annotated[str, AfterValidator(check_sentinel)], ...], BeforeValidator(to_list)
    ] = ()
    """Sentinels, ``host:port`` each, that know which Redis is the master; REDIS_HOST and REDIS_PORT are not used
    then."""
    sentinel_service_name: Name = "ccarchiver"
    """What the Sentinels call that Redis."""
    redis_login: bool = False
    """Whether to log in to Redis, with ``redis_users`` of the credentials file."""
    redis_tls: Tls = Tls()
    """Encryption of the connection to Redis and its Sentinels."""
    rabbitmq_tls: Tls = Tls()
    """Encryption of the connection to RabbitMQ."""
    allow_remote_plaintext: bool = False
    """Whether passwords and messages may go to another host unencrypted. $CCARCHIVER_ALLOW_REMOTE_PLAINTEXT has
    precedence."""
    max_message_bytes: Count = 262_144
    """Longest message body in bytes that is parsed; real ones have below 1,000."""
    max_mailbox: Count = 100_000
    """Entries a mailbox may hold before its senders wait."""
    max_buffered_events: Count = 20_000
    """SAL events kept in memory while Redis is away: an hour at several a second."""
    max_dead_letters: Count = 10_000
    """Dead letters kept; the oldest go first, and that is logged."""
    dead_letters_total_bytes: Count = 268_435_456
    """Bytes of Redis' memory that all dead letters together may take; beyond it the oldest go, and that is logged."""
    dead_letter_max_bytes: Count = 16_777_216
    """Bytes of one dead letter that are kept: all of any real message, and of a mistaken file of some megabytes."""
    ledger_retention_days: Seconds = 14.0
    """Nights a finished image stays in the ledger."""
    max_ledger_images: Count = 100_000
    """Images the ledger holds; beyond it the oldest finished ones go early, and that is logged."""
    status_host: Name = "127.0.0.1"
    """Where the status page and the metrics listen; loopback, as they ask for no password."""
    status_port: Annotated[int, Field(ge=0, lt=PORT_LIMIT)] = 8094
    """Port of the status page and the metrics; 0 switches both off."""

    @model_validator(mode="after")
    def _databases_apart(self) -> Self:
        if self.archiver_redis_db == self.forwarder_redis_db:
            msg = (
                f"ARCHIVER_REDIS_DB and FORWARDER_REDIS_DB are both {self.archiver_redis_db}: a Forwarder empties "
                "its database whenever it starts; give the archiver one of its own (14 is usual)"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _plaintext_only_where_said(self) -> Self:
        if not self.allow_remote_plaintext:
            for name, section in self.in_plaintext():
                msg = (
                    f"{name} is on another host and {section} does not encrypt the way to it: set {section}.USE: true, "
                    f"or set {PLAINTEXT_KEY}: true (for a site file that must not change: "
                    f"{PLAINTEXT_VARIABLE}=true in the environment)"
                )
                raise ValueError(msg)
        return self

    def in_plaintext(self) -> list[tuple[str, str]]:
        """Give each server on another host to which nothing is encrypted, and the section that would do it."""
        redis = [one.host for one in self.sentinels] or [self.redis_host]
        ways = (
            ("Redis", "REDIS_TLS", self.redis_tls, redis),
            ("RabbitMQ", "RABBITMQ_TLS", self.rabbitmq_tls, [broker.host for broker in self.brokers]),
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
                f"({self.stalled_after:g} s), or no image is ever reported as stalled; raise the one or lower the other"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _dead_letters_whole(self) -> Self:
        if self.dead_letter_max_bytes < self.max_message_bytes:
            msg = (
                f"DEAD_LETTER_MAX_BYTES ({self.dead_letter_max_bytes}) must be at least MAX_MESSAGE_BYTES "
                f"({self.max_message_bytes}), or a rejected message is kept in part and cannot be handled again"
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
                    f"{name} and ARCHIVE_CTRL_CONSUME_QUEUE are both {queue}: the archiver would take what is meant "
                    "for the Controller; give each its own"
                )
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _orders_told_apart(self) -> Self:
        instructions = {
            "NEW_ARCHIVE_ITEM": self.new_archive_item,
            "FWDR_XFER_PARAMS": self.fwdr_xfer_params,
            "FWDR_END_READOUT": self.fwdr_end_readout,
            "FWDR_HEADER_READY": self.fwdr_header_ready,
        }
        first: dict[str, str] = {}
        for name, kind in instructions.items():
            if first.setdefault(kind, name) != name:
                msg = f"{name} and {first[kind]} are both {kind}: nobody could tell them apart; give each its own"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _association_key_is_free(self) -> Self:
        if self.association_key == keys.FORWARDER_LIST or self.association_key.startswith(keys.PREFIX):
            msg = (
                f"ASSOCIATION_KEY must not be {keys.FORWARDER_LIST} nor begin with {keys.PREFIX}: the archiver has "
                "other things there; ccarchiver_association is usual"
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
        """How long ``start`` waits in all: long enough for every wait in it. Old sites have an ACK_TIMEOUT of 60 s."""
        return max(self.start_timeout, self.connect_timeout + self.pair_timeout + 3 * self.ack_timeout)

    @property
    def _oods_queues_swapped(self) -> bool:
        """Whether a site file names the two well-known queues the other way round, as the OODS' side would."""
        return self.oods_publish_queue == FROM_OODS or self.oods_consume_queue == TO_OODS

    @property
    def queue_to_oods(self) -> str:
        """The queue the OODS consumes."""
        return self.oods_consume_queue if self._oods_queues_swapped else self.oods_publish_queue

    @property
    def queue_from_oods(self) -> str:
        """The queue the OODS publishes its statuses to; the archiver consumes it."""
        return self.oods_publish_queue if self._oods_queues_swapped else self.oods_consume_queue

    @property
    def queues(self) -> frozenset[str]:
        """Every queue of the site but the Forwarders' own."""
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

    @cached_property  # each status of a file asks for it, and the full camera has 205
    def ccds(self) -> tuple[tuple[str, str], ...]:
        """Raft and sensor of each CCD of an image, in the order of the boards."""
        return tuple(ccd for board in self.ats.ccds for ccd in self.ats.sensors_of(board))

    @property
    def files_per_image(self) -> int:
        """Files a complete image has."""
        return len(self.ccds)

    @property
    def brokers(self) -> tuple[BrokerAddress, ...]:
        """RabbitMQ's addresses, taken apart; at least one."""
        return tuple(_broker(address) for address in addresses(self.base_broker_addr))

    @property
    def vhost(self) -> str:
        """RabbitMQ's virtual host, the same at all addresses."""
        return self.brokers[0].vhost

    @property
    def broker_text(self) -> str:
        """RabbitMQ's addresses as an error message should name them."""
        return f"{', '.join(broker.address for broker in self.brokers)} (vhost {self.vhost})"

    @property
    def sentinels(self) -> tuple[HostPort, ...]:
        """The Sentinels' addresses, taken apart; none if Redis is asked directly."""
        return tuple(_host_and_port(address) for address in self.redis_sentinels)

    @property
    def redis_address(self) -> str:
        """Redis' address as an error message should name it."""
        if self.redis_sentinels:
            where = f"{self.sentinel_service_name} by Sentinel at {', '.join(self.redis_sentinels)}"
        else:
            where = f"{self.redis_host}:{self.redis_port}"
        return f"{where} (database {self.archiver_redis_db})"

    @property
    def log_dir(self) -> Path | None:
        """Where log files go: ``$IIP_LOG_DIR``, else LOGGING_DIR, else nowhere but standard error."""
        variable = os.environ.get(LOG_DIR_VARIABLE)
        return Path(variable) if variable else self.logging_dir


def _host_and_port(address: str) -> HostPort:
    host, _, port = address.rpartition(":")
    return HostPort(host.strip("[]"), int(port))


def _broker(text: str) -> BrokerAddress:
    address, _, vhost = text.partition("/")
    host, port = _host_and_port(address)
    return BrokerAddress(host=host, port=port, vhost=unquote(vhost) or "/")


def settings_path() -> Path:
    """Give the site file's place.

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
        Whether the file is of an earlier version. Settings that were renamed are then accepted, and unencrypted
        connections to other hosts are allowed if the file has some and neither it nor the environment says otherwise.

    Raises
    ------
    ConfigError
        With one line for each problem: file, line, key, what is wrong.
    """
    site = SiteFile(settings_path() if path is None else path)
    root = translate(site.root) if is_old else site.root
    plaintext = os.environ.get(PLAINTEXT_VARIABLE)
    if plaintext:
        root = root | {PLAINTEXT_KEY: plaintext}
    try:
        return Settings.model_validate(root)
    except ValidationError as error:
        if is_old and PLAINTEXT_KEY not in root:
            with contextlib.suppress(ValidationError):
                return Settings.model_validate(root | {PLAINTEXT_KEY: True})
        lines = [_explain(site, item["loc"], item["type"], item["msg"]) for item in error.errors()]
        raise ConfigError("\n".join(lines)) from None


def _explain(site: SiteFile, loc: tuple[int | str, ...], kind: str, text: str) -> str:
    path = tuple(str(part) for part in loc if isinstance(part, str))
    name = ".".join(("ROOT", *path))
    if path == (PLAINTEXT_KEY,) and os.environ.get(PLAINTEXT_VARIABLE):
        return f"${PLAINTEXT_VARIABLE}: {text}"
    if kind == "extra_forbidden":
        if path and path[0] in RENAMED:
            new = RENAMED[path[0]]
            return f"{site.where(path)}: {name} is now {new}; ccarchiver config migrate writes the file in the new form"
        return f"{site.where(path)}: unknown key {name}; remove it or correct its spelling"
    # What is wrong with several keys together is said of their section: its first key in the file is where to look.
    below = ((*path, word) for word in _KEY.findall(text))
    place = next((one for one in below if site.line(one) is not None), path)
    return f"{site.where(place)}: {name}: {text.removeprefix('Value error, ')}"
