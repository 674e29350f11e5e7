"""What a rig takes from the site file of a real archiver: all that is not a place."""

from pathlib import Path

from ccarchiver_core.config.settings import load_settings
from ccarchiver_core.config.site_file import SiteFile

PLACES = frozenset({"BASE_BROKER_ADDR", "STATUS_HOST", "STATUS_PORT", "LOGGING_DIR"})
"""Keys that say where something of the site is; a rig has its own."""
PLACES_OF_BROKERS = ("REDIS_", "RABBITMQ_", "PLAINTEXT_")
"""How the keys begin that say where the site's Redis is, and how to get in there and to RabbitMQ."""
PLACES_IN_ARCHIVE = frozenset({"ARCHIVE_IP", "FORWARDER_STAGING", "OODS_STAGING", "DBB_STAGING"})
"""The same in the section ARCHIVE."""


def settings_of(path: Path) -> dict[str, object]:
    """Give the ROOT keys of a site file for a rig: names, queues, sensors, times; no address and no folder.

    Raises
    ------
    ConfigError
        If the file is wrong; its text says where.
    """
    load_settings(path)
    root = SiteFile(path).root
    kept = {key: value for key, value in root.items() if key not in PLACES and not key.startswith(PLACES_OF_BROKERS)}
    archive = root.get("ARCHIVE")
    if isinstance(archive, dict):
        kept["ARCHIVE"] = {key: value for key, value in archive.items() if key not in PLACES_IN_ARCHIVE}
    return kept
