"""A site's settings: the keys of ``ccarchiver_config.yaml`` with their defaults and meanings."""

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
from ccarchiver_core.base.intervals import HEARTBEAT_S
from ccarchiver_core.config.renamed_settings import RENAMED, translate
from ccarchiver_core.config.site_file import SiteFile
from ccarchiver_core.config.site_sections import (
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
"""For an unchanged site file of the replaced archiver that names brokers on other hosts."""

_KEY = re.compile(r"[A-Z][A-Z_]+")
"""A word that may be a key, in the text of an error."""

TO_OODS, FROM_OODS = "cc_publish_to_oods", "oods_publish_to_cc"
"""Names of the two OODS queues at every known site."""


class Settings(ConfigSection):
    """Every setting of the three workers. Times are in seconds, unless the name has another unit.

    Notes
    -----
    Site files of the replaced archiver have the keys of the first group. The second group is new.
    """

    redis_host: Annotated[str, AfterValidator(check_server)] = "127.0.0.1"
    """Host of the Redis that the workers share with the Forwarders."""
    redis_port: Port = 6379
    """Port of that Redis."""
    archiver_redis_db: Annotated[int, Field(ge=0)] = 14
    """Number of the archiver's database, in which Forwarders register."""
    forwarder_redis_db: Annotated[int, Field(ge=0)] = 1
    """Number of the Forwarders' own database, on which they run FLUSHDB at every start."""
    base_broker_addr: Annotated[
        str, BeforeValidator(join_addresses), AfterValidator(check_broker_addresses)
    ] = "127.0.0.1:5672/%2ftest_cc"
    """RabbitMQ as ``host:port/vhost``; a slash in the name of the virtual host is written ``%2f``.
    Several addresses, separated by commas, are the nodes of one cluster, tried in this order."""
    forwarder_publish_queue: Queue = "cc_foreman_ack_publish"
    """Queue of the answers from Forwarders and Controller; the archiver consumes it."""
    # The code reads the next two through `queue_to_oods` and `queue_from_oods`.
    oods_publish_queue: Queue = TO_OODS
    """Queue of the requests to the OODS.
    The well-known names of this queue and the next one may also be swapped."""
    oods_consume_queue: Queue = FROM_OODS
    """Queue of the statuses from the OODS; the archiver consumes it."""
    archive_ctrl_publish_queue: Queue = "archive_ctrl_publish"
    """Queue of the statuses from the Controller; the archiver consumes it."""
    archive_ctrl_consume_queue: Queue = "archive_ctrl_consume"
    """Queue of the messages to the Controller."""
    telemetry_queue: Queue = "telemetry_queue"
    """Queue of the statuses from Forwarders; the archiver consumes it."""
    camera_name: Name = "COMCAM"
    """Name of the camera in the events on SAL."""
    archiver_name: Name = "CCArchiver"
    """Name of the archiver in the events on SAL."""
    short_name: Name = "CC"
    """DEVICE in messages to a Forwarder, and prefix of their message types."""
    archive_controller_name: Name = "ARCHIVE_CTRL"
    """COMPONENT in the Controller's answers."""
    association_key: Name = "ccarchiver_association"
    """Redis key by which a paired Forwarder sees that the archiver is alive."""
    file_ingest_request: Name = "CC_FILE_INGEST_REQUEST"
    """Message type that some releases of the OODS use instead of IMAGE_IN_OODS."""
    new_archive_item: Name = "NEW_CC_ARCHIVE_ITEM"
    """Message type: a new image, to the Controller."""
    fwdr_xfer_params: Name = "CC_FWDR_XFER_PARAMS"
    """Message type: the target directory of an image, to the Forwarder."""
    fwdr_end_readout: Name = "CC_FWDR_END_READOUT"
    """Message type: the pixels of an image can be fetched, to the Forwarder."""
    fwdr_header_ready: Name = "CC_FWDR_HEADER_READY"
    """Message type: the header of an image can be fetched, to the Forwarder."""
    fwdr_health_check_ack: Name = "CC_FWDR_HEALTH_CHECK_ACK"
    """Message type: an answer of a Forwarder, which the archiver ignores."""
    ack_timeout: Seconds = 5.0
    """Time limit for an acknowledgement, and interval of the Controller's health checks."""
    logging_dir: AbsolutePath | None = None
    """Directory of the log files; $IIP_LOG_DIR has precedence."""
    csc: Csc = Csc()
    """Section with BEACON."""
    archive: Archive = Archive()
    """Section with login, address and staging trees."""
    ats: Wavefront = Wavefront()
    """Section with rafts, boards and sensors of an image."""

    sal: SalNames = SalNames()
    """Section with the names of the SAL components, which differ for a sister archiver."""
    pair_timeout: Seconds = 15.0
    """How long ``start`` waits for a Forwarder to register; a free one does so every 10 s."""
    reassign_grace: Seconds = 15.0
    """How long to search for another Forwarder after a loss.
    A lost one that is alive registers again within 10 s."""
    connect_timeout: Seconds = 10.0
    """How long ``start`` waits for a broker before it fails with 5071 or 5701."""
    start_timeout: Seconds = 60.0
    """Time limit of ``start``, including the start of the other two workers.
    It is longer if ACK_TIMEOUT is long, see `start_limit`."""
    resume_window: Seconds = 60.0
    """A CSC that restarts within this time resumes its summary state, session and pairing."""
    worker_outage_limit: Seconds = 60.0
    """How long the CSC stays ENABLED while the bridge or the health worker is unavailable."""
    broker_outage_limit: Seconds = 300.0
    """How long the CSC stays ENABLED while Redis or RabbitMQ is unavailable.
    The default is longer than any restart of a broker."""
    controller_max_missed_checks: Count = 3
    """Health checks in a row that the Controller may miss; a restart of it takes two."""
    stalled_after: Seconds = 300.0
    """An image that waits longer than this for its next stage becomes stalled."""
    abandoned_after: Seconds = 86400.0
    """Age at which an unfinished image becomes a dead letter.
    From then on no new session sends its instructions again."""
    lease_ttl: Seconds = 15.0
    """Time to live of a worker's lease; a second instance cannot run before it expires."""
    watchdog_timeout: Annotated[float, Field(gt=HEARTBEAT_S, allow_inf_nan=False)] = 30.0
    """How long a worker may make no progress before the watchdog kills its process.
    supervisord starts it again."""
    publish_timeout: Seconds = 5.0
    """How long RabbitMQ may take to confirm a message before the connection counts as broken."""
    amqp_heartbeat: Annotated[int, Field(gt=0, le=MAX_AMQP_HEARTBEAT)] = 5
    """Interval of the AMQP heartbeat; a half-open connection is detected within two of them."""
    presence_grace: Seconds = 1.0
    """How long a Forwarder's presence key may be missing, because it may be written late."""
    standby: bool = False
    """Whether a second instance of a worker waits as the standby, for a site with a second host.
    If not, it exits, because a second start on one host is a mistake."""
    redis_sentinels: Annotated[
        tuple[Annotated[str, AfterValidator(check_sentinel)], ...], BeforeValidator(to_list)
    ] = ()
    """Sentinels, ``host:port`` each, that know which Redis is the master.
    REDIS_HOST and REDIS_PORT are then not used."""
    sentinel_service_name: Name = "ccarchiver"
    """Name of that Redis in the configuration of the Sentinels."""
    redis_login: bool = False
    """Whether to log in to Redis, with ``redis_users`` in the credentials file."""
    redis_tls: Tls = Tls()
    """Encryption of the connection to Redis and its Sentinels."""
    rabbitmq_tls: Tls = Tls()
    """Encryption of the connection to RabbitMQ."""
    allow_remote_plaintext: bool = False
    """Whether passwords and messages may go to another host unencrypted.
    $CCARCHIVER_ALLOW_REMOTE_PLAINTEXT has precedence."""
    max_message_bytes: Count = 262_144
    """Maximum size in bytes of a message body that is parsed; real ones have less than 1,000."""
    max_mailbox: Count = 100_000
    """Entries that a mailbox may hold before its senders wait."""
    max_buffered_events: Count = 20_000
    """SAL events kept in memory while Redis is unavailable: an hour at several events a second."""
    max_dead_letters: Count = 10_000
    """Maximum number of dead letters; beyond it the oldest are removed, and this is logged."""
    dead_letters_total_bytes: Count = 268_435_456
    """Maximum memory in bytes that all dead letters may use in Redis.
    Beyond it the oldest are removed, and this is logged."""
    dead_letter_max_bytes: Count = 16_777_216
    """Maximum number of bytes that are stored of one dead letter.
    It is enough for any real message, and for a file of some megabytes that was sent by mistake."""
    ledger_retention_days: Seconds = 14.0
    """Days that a finished image stays in the ledger."""
    max_ledger_images: Count = 100_000
    """Maximum number of images in the ledger.
    Beyond it the oldest finished images are removed early, and this is logged."""
    status_host: Name = "127.0.0.1"
    """Address of the status page and the metrics; loopback, because they ask for no password."""
    status_port: Annotated[int, Field(ge=0, lt=PORT_LIMIT)] = 8094
    """Port of the status page and the metrics; 0 disables both."""

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
            for name, section in self.in_plaintext():
                msg = (
                    f"{name} is on another host and {section} does not encrypt the connection: "
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
    def _dead_letters_whole(self) -> Self:
        if self.dead_letter_max_bytes < self.max_message_bytes:
            msg = (
                f"DEAD_LETTER_MAX_BYTES ({self.dead_letter_max_bytes}) must be at least "
                f"MAX_MESSAGE_BYTES ({self.max_message_bytes}), otherwise a rejected message is "
                "stored in part and cannot be requeued"
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
                f"ASSOCIATION_KEY must not be {keys.FORWARDER_LIST} nor begin with {keys.PREFIX}: "
                "the archiver uses these keys itself; ccarchiver_association is usual"
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
        return tuple(_broker(address) for address in addresses(self.base_broker_addr))

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
        return tuple(_host_and_port(address) for address in self.redis_sentinels)

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


def _host_and_port(address: str) -> HostPort:
    host, _, port = address.rpartition(":")
    return HostPort(host.strip("[]"), int(port))


def _broker(text: str) -> BrokerAddress:
    address, _, vhost = text.partition("/")
    host, port = _host_and_port(address)
    return BrokerAddress(host=host, port=port, vhost=unquote(vhost) or "/")


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
            return (
                f"{site.where(path)}: {name} is now {new}; "
                "ccarchiver config migrate writes the file in the new form"
            )
        return f"{site.where(path)}: unknown key {name}; remove it or correct its spelling"
    # A problem with several keys together is an error of their section. The line in the message is
    # that of the first key in the text that the file has.
    below = ((*path, word) for word in _KEY.findall(text))
    place = next((key for key in below if site.line(key) is not None), path)
    return f"{site.where(place)}: {name}: {text.removeprefix('Value error, ')}"
