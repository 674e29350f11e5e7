"""Paths of the files in this package."""

from pathlib import Path

__all__ = ["get_config_dir", "get_pkg_root", "get_qos_path"]


def get_pkg_root() -> Path:
    """Return the directory of the profiles."""
    return Path(__file__).resolve().parent


def get_config_dir() -> Path:
    """Return the directory of DDS configuration files; Cyclone DDS needs none."""
    return get_pkg_root() / "config"


def get_qos_path() -> Path:
    """Return the path of the quality of service profiles."""
    return get_pkg_root() / "QoS.xml"
