"""Settings that a rig copies from a real archiver's site file: all but addresses and folders."""

from pathlib import Path

from ccarchiver_core.config.settings import Settings, load_settings
from ccarchiver_core.config.site_file import SiteFile
from ccarchiver_core.config.typed_values import typed_values

PLACES = frozenset({"BASE_BROKER_ADDR", "STATUS_HOST", "STATUS_PORT", "LOGGING_DIR"})
"""Keys with the site's addresses and folders; a rig has its own."""
PLACES_OF_BROKERS = ("REDIS_", "RABBITMQ_", "PLAINTEXT_")
"""Prefixes of the keys with the address of the site's Redis and the access to Redis and
RabbitMQ."""
PLACES_IN_ARCHIVE = frozenset({"ARCHIVE_IP", "FORWARDER_STAGING", "OODS_STAGING", "DBB_STAGING"})
"""Keys of the section ARCHIVE with addresses and folders."""


def settings_of(path: Path) -> dict[str, object]:
    """Return the ROOT keys of a site file for a rig, without addresses and folders.

    The names, queues, sensors and times remain.

    Raises
    ------
    ConfigError
        If the site file is invalid; the text names the setting.
    """
    load_settings(path)
    root = typed_values(SiteFile(path).root, Settings)
    kept = {
        key: value
        for key, value in root.items()
        if key not in PLACES and not key.startswith(PLACES_OF_BROKERS)
    }
    archive = root.get("ARCHIVE")
    if isinstance(archive, dict):
        kept["ARCHIVE"] = {
            key: value for key, value in archive.items() if key not in PLACES_IN_ARCHIVE
        }
    return kept
