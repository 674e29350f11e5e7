"""Display of the wait for missed images: a bar on a terminal, lines anywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccarchiver_cli.output import console, say

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rich.console import Console
    from rich.progress import Progress

    from ccarchiver_cli.catchup_wait import WaitProgress


class WaitDisplay:
    """Display of the progress of some images, as a context manager.

    Parameters
    ----------
    count : `int`
        Number of the images.
    is_silent : `bool`
        Whether to print nothing, because the output is JSON.
    """

    def __init__(self, count: int, *, is_silent: bool) -> None:
        self._count = count
        self._is_silent = is_silent
        self._bar: Progress | None = None
        self._printed: set[str] = set()
        self._waits_for = ""

    def show(self, progress: WaitProgress) -> None:
        """Show a new state of the images."""
        if self._bar is not None:
            self._bar.update(
                self._bar.task_ids[0],
                completed=len(progress.ended),
                description=progress.waits_for,
            )
        elif not self._is_silent:
            self._print(progress)

    def _print(self, progress: WaitProgress) -> None:
        """Print each image once when its archiving has ended, and what is waited for."""
        for result in progress.ended:
            if result.image not in self._printed:
                self._printed.add(result.image)
                say(f"{len(self._printed)} of {self._count}: {result.image} {result.text}")
        if progress.waits_for not in ("", self._waits_for):
            say(f"waiting: {progress.waits_for}")
        self._waits_for = progress.waits_for

    def __enter__(self) -> Self:
        out = console()
        if out.is_terminal and not self._is_silent and self._count:
            self._bar = _bar_on(out)
            self._bar.add_task("", total=self._count)
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _bar_on(out: Console) -> Progress:
    from rich import progress  # noqa: PLC0415  20 ms to import, and only a wait needs it

    return progress.Progress(
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("{task.description}", markup=False),
        console=out,
    )
