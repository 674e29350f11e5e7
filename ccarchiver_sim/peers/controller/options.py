"""How the simulated Controller runs, and how it misbehaves when asked to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ControllerOptions:
    """Everything a Controller is told on its command line.

    Parameters
    ----------
    component : `str`
        COMPONENT in its acknowledgements.
    mute : `frozenset` [`str`]
        Types of messages that are never acknowledged, though acted on.
    negative : `bool`
        Acknowledge with ACK_BOOL FALSE.
    ack_delay : `float`
        Seconds between receiving a message and acknowledging it.
    target_dir : `str` or `None`
        A TARGET_DIR to answer with whatever the day is; it is not created.
    """

    component: str
    mute: frozenset[str] = frozenset()
    negative: bool = False
    ack_delay: float = 0.0
    target_dir: str | None = None
