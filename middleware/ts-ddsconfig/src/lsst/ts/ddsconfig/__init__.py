"""Paths of ts-salobj's quality of service profiles: stand-in for the genuine ts-ddsconfig."""

from genuine_first import hand_over

if not hand_over(__name__, __file__):
    from lsst.ts.ddsconfig.paths import get_config_dir, get_pkg_root, get_qos_path

    __version__ = "0.1.0"
    __all__ = ["__version__", "get_config_dir", "get_pkg_root", "get_qos_path"]
