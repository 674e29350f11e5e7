"""An acknowledgement that a peer has not sent yet."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ccarchiver_core.domain.exposure import Instruction
from ccarchiver_core.domain.record_types import (
    Code,
    Count,
)


class PendingAck(BaseModel):
    """Acknowledgement that a peer has not sent yet; ``instruction`` is None for ASSOCIATED."""

    model_config = ConfigDict(frozen=True)

    ack_id: str
    session_id: str
    epoch: Code
    queue: str
    instruction: Instruction | None = None
    obsid: str = ""
    sends: Count = 1

    @property
    def of_forwarder(self) -> bool:
        """Whether a Forwarder must send it, under the epoch of its pairing."""
        return self.instruction is not Instruction.NEW_ITEM

    @property
    def log_keys(self) -> dict[str, str | int]:
        """Keys of its log lines: the ACK_ID contains the session; the Controller has no epoch."""
        keys_of_lines: dict[str, str | int] = {"image": self.obsid} if self.obsid else {}
        keys_of_lines["ack_id"] = self.ack_id
        if self.of_forwarder:
            keys_of_lines["epoch"] = self.epoch
        return keys_of_lines
