"""Options of the simulated Controller, including its deliberate misbehaviour."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ControllerOptions:
    """Options from the command line of a Controller.

    Parameters
    ----------
    component : `str`
        COMPONENT in its acknowledgements.
    mute : `frozenset` [`str`]
        Types of messages that are executed but never acknowledged.
    negative : `bool`
        Whether to acknowledge with ACK_BOOL FALSE.
    ack_delay : `float`
        Seconds between the receipt of a message and its acknowledgement.
    target_dir : `str` or `None`
        TARGET_DIR of all answers, instead of the day's directory; it is not created.
    """

    component: str
    mute: frozenset[str] = frozenset()
    negative: bool = False
    ack_delay: float = 0.0
    target_dir: str | None = None
