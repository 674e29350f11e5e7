"""Check of the site's IDL files before SAL is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ccarchiver_core.sal_interface.comparison import require
from ccarchiver_core.sal_interface.idl_file import read_idl
from ccarchiver_core.sal_interface.needs import needs_of
from ccarchiver_sal.adapter import idl_folder

if TYPE_CHECKING:
    from ccarchiver_core.config.site_sections import SalNames
    from ccarchiver_core.sal_interface.comparison import Comparison

_log = structlog.get_logger(__name__)


def read_interfaces(names: SalNames) -> dict[str, Comparison]:
    """Return the interfaces of the site's three components by name; log what they lack.

    Raises
    ------
    ConfigError
        If an IDL file is missing, or lacks a topic or field that the archiver needs.
    """
    folder = idl_folder()
    interfaces = {
        name: require(read_idl(folder, name), needs) for name, needs in needs_of(names).items()
    }
    for interface in interfaces.values():
        if interface.left_out:
            _log.info(
                "interface.left_out",
                idl=interface.idl.label,
                left_out=", ".join(interface.left_out),
            )
    return interfaces
