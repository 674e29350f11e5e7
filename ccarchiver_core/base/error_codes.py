"""The error codes in the CSC's ``errorCode`` event."""

from __future__ import annotations

import enum


class ErrorCode(enum.IntEnum):
    """Codes of the errorCode event. The observatory has fixed them; operators have runbooks."""

    NO_RABBITMQ = 5071
    NO_FORWARDER = 5701
    CONTROLLER_SILENT = 5751
    NO_XFER_PARAMS_ACK = 5752
    NO_END_READOUT_ACK = 5753
    NO_HEADER_READY_ACK = 5754
    FORWARDER_GONE = 5755

    @property
    def meaning(self) -> str:
        """Meaning of the code in one line, for an operator."""
        return _MEANINGS[self]


_MEANINGS: dict[ErrorCode, str] = {
    ErrorCode.NO_RABBITMQ: "no connection to RabbitMQ",
    ErrorCode.NO_FORWARDER: "no Redis, or no Forwarder to pair with",
    ErrorCode.CONTROLLER_SILENT: "the Controller does not answer health checks",
    ErrorCode.NO_XFER_PARAMS_ACK: (
        "no usable answer to ASSOCIATED, NEW_CC_ARCHIVE_ITEM or CC_FWDR_XFER_PARAMS"
    ),
    ErrorCode.NO_END_READOUT_ACK: "no answer to CC_FWDR_END_READOUT",
    ErrorCode.NO_HEADER_READY_ACK: "no answer to CC_FWDR_HEADER_READY",
    ErrorCode.FORWARDER_GONE: "the Forwarder is gone and no other could take over",
}
