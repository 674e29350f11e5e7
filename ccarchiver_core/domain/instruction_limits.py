"""How often an instruction is sent."""

from __future__ import annotations

MAX_SENDS = 2
"""Times a message is sent, with the same ACK_ID, before its receiver counts as silent."""
