"""The message types of the instructions, from the site file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_core.domain.exposure import Instruction

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings


def message_names(settings: Settings) -> dict[Instruction, str]:
    """Return the message type of each instruction."""
    return {
        Instruction.NEW_ITEM: settings.new_archive_item,
        Instruction.XFER_PARAMS: settings.fwdr_xfer_params,
        Instruction.END_READOUT: settings.fwdr_end_readout,
        Instruction.HEADER_READY: settings.fwdr_header_ready,
    }
