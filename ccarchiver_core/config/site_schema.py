"""The keys of ``ccarchiver_config.yaml`` below ROOT, with their defaults and meanings."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ccarchiver_core.base.intervals import HEARTBEAT_S
from ccarchiver_core.config.addresses import PORT_LIMIT
from ccarchiver_core.config.site_sections import (
    Archive,
    ConfigSection,
    Csc,
    SalNames,
    Tls,
    Wavefront,
)
from ccarchiver_core.config.value_types import (
    AbsolutePath,
    BrokerAddresses,
    CatchUp,
    Count,
    HeaderTemplate,
    Hidden,
    Name,
    Port,
    Queue,
    Seconds,
    Sentinels,
    Server,
    WebNames,
)

MAX_AMQP_HEARTBEAT = 65535
"""Maximum AMQP heartbeat in seconds; the protocol has 16 bits for it."""

TO_OODS, FROM_OODS = "cc_publish_to_oods", "oods_publish_to_cc"
"""Names of the two OODS queues at every known site."""


class SiteSchema(ConfigSection):
    """Every setting of the three workers. Times are in seconds, unless the name has another unit.

    Notes
    -----
    Site files of the replaced archiver have the keys of the first group. The second group is new.
    """

    redis_host: Server = "127.0.0.1"
    """Host of the Redis that the workers share with the Forwarders."""
    redis_port: Port = 6379
    """Port of that Redis."""
    archiver_redis_db: Annotated[int, Field(ge=0)] = 14
    """Number of the archiver's database, in which Forwarders register."""
    forwarder_redis_db: Annotated[int, Field(ge=0)] = 1
    """Number of the Forwarders' own database, on which they run FLUSHDB at every start."""
    base_broker_addr: BrokerAddresses = "127.0.0.1:5672/%2ftest_cc"
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
    logging_dir: Annotated[AbsolutePath | None, Field(examples=["/var/log/ccarchiver"])] = None
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
    catch_up: CatchUp = CatchUp.REPORT
    """What to do about images that the camera took and the archiver did not accept.
    ``report`` finds and reports them, ``off`` does not search for them.
    ``automatic`` also archives those that SCAN has listed, one at a time."""
    header_url_template: Annotated[
        HeaderTemplate, Field(examples=["http://192.0.2.1:8000/{day_obs}/{obsid}.yaml"])
    ] = ""
    """Address of the header of an image whose largeFileObjectAvailable did not arrive.
    ``{obsid}`` stands for its name, ``{day_obs}`` for the day in its name, as 20261122.
    For example http://192.0.2.1:8000/{day_obs}/{obsid}.yaml"""
    catch_up_events_max_age: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Age of a missed image above which SAL gets no events of its files; 0 for no limit.
    It counts from the exposure until the image is accepted."""
    scan_interval: Seconds = 600.0
    """Interval at which the paired Forwarder is asked which images the camera took (SCAN).
    Never while an exposure is in progress."""
    scan_timeout: Seconds = 20.0
    """How long to wait for the answer to SCAN; meanwhile no acknowledgement of the Forwarder is
    late."""
    scan_window: Seconds = 86400.0
    """Maximum age of the images that SCAN lists; older ones are never found to be missed."""
    image_prefix: Name = "CC_"
    """Beginning of the names of this camera's images; other names in the answer to SCAN are
    ignored."""
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
    """Time without progress after which an unfinished image becomes stalled.
    An event, an instruction, an acknowledgement and a successful status are progress.
    Until endReadout arrives, the exposure time does not count."""
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
    redis_sentinels: Annotated[Sentinels, Field(examples=[["192.0.2.1:26379"]])] = ()
    """Sentinels, ``host:port`` each, that know which Redis is the master.
    REDIS_HOST and REDIS_PORT are then not used."""
    sentinel_service_name: Name = "ccarchiver"
    """Name of that Redis in the configuration of the Sentinels."""
    redis_login: Annotated[bool, Hidden()] = False
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
    """Entries of the CSC's mailbox from which on file statuses wait in RabbitMQ.
    The senders of other messages do not wait; a mailbox of this size is logged."""
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
    status_names: Annotated[WebNames, Field(examples=[["archiver.example"]])] = ()
    """Further host names under which the status page answers, such as that of a proxy before it.
    It always answers under an address, ``localhost``, STATUS_HOST and the machine's own name."""
    status_port: Annotated[int, Field(ge=0, lt=PORT_LIMIT)] = 8094
    """Port of the status page and the metrics; 0 disables both."""
