"""Doubles of what salobj 6.9 and 7 do differently, because salobj 7 is on no package index.

Everything else is tested with the real salobj 6.9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

Written = list[dict[str, object]]


class Topic6:
    """An event of salobj 6.9: calls are complete when they return."""

    def __init__(self) -> None:
        self.written: Written = []

    def set_put(self, *, force_output: bool = False, **fields: object) -> bool:
        """Write the event."""
        assert force_output
        self.written.append(fields)
        return True


class Topic7:
    """An event of salobj 7: calls are coroutines, and nothing happens before they are awaited."""

    def __init__(self) -> None:
        self.written: Written = []

    async def set_write(self, *, force_output: bool | None = None, **fields: object) -> None:
        """Write the event."""
        assert force_output
        self.written.append(fields)


class Csc6:
    """The state machine of salobj 6.9, as far as a fault is concerned."""

    def __init__(self) -> None:
        self.published: list[tuple[int, str]] = []

    def fault(self, code: int, report: str) -> None:
        """Publish an error."""
        self.published.append((code, report))


class Csc7:
    """The state machine of salobj 7, as far as a fault is concerned."""

    def __init__(self) -> None:
        self.published: list[tuple[int, str]] = []

    def fault(self, code: int, report: str) -> Coroutine[Any, Any, None]:
        """Publish an error when the result is awaited."""

        async def publish() -> None:
            self.published.append((code, report))

        return publish()
