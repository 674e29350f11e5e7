"""Progress display of the demo: bars on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)


class StepError(RuntimeError):
    """A step of the demo failed; the text names the step and the reason."""


class Steps:
    """Display of the steps of the run, which also names the step that fails.

    Parameters
    ----------
    console
        Console for the output.
    how_a_program_ended
        Function that returns the text about a program that has ended, or None. An ended program
        explains the failure of a step better than the step's own error, which is its consequence.
    """

    def __init__(self, console: Console, how_a_program_ended: Callable[[], str | None]) -> None:
        self._console = console
        self._how_a_program_ended = how_a_program_ended

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Announce a step and print how long it took.

        Raises
        ------
        StepError
            If the block raises an Exception.
        """
        begin = time.monotonic()
        if self._console.is_terminal:
            with self._console.status(f"{what} …"):
                yield from self._guarded(what)
        else:
            yield from self._guarded(what)
        self._console.print(f"{what}: {time.monotonic() - begin:.1f} s")

    def _guarded(self, what: str) -> Iterator[None]:
        try:
            yield
        except StepError:
            raise
        except Exception as error:
            cause = _first_cause(error)
            text = self._how_a_program_ended() or str(cause) or type(cause).__name__
            raise StepError(f"{what} failed: {text}") from error


def _first_cause(error: Exception) -> Exception:
    """Return the first error of a group; the others are mostly its consequences."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


class NightProgress:
    """Progress of the exposures and their files."""

    def __init__(self, console: Console, images: int, files: int) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description:<18}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {
            "read out": self._bars.add_task("read out", total=images),
            "files retrieved": self._bars.add_task("files retrieved", total=images * files),
            "files ingested": self._bars.add_task("files ingested", total=images * files),
            "images complete": self._bars.add_task("images complete", total=images),
        }

    def show(self, *, read_out: int, retrieved: int, ingested: int, complete: int) -> None:
        """Update the bars."""
        counts = (read_out, retrieved, ingested, complete)
        for task, count in zip(self._tasks.values(), counts, strict=True):
            self._bars.update(task, completed=count)

    def line(self, text: str) -> None:
        """Print a line if the output is not a terminal, where the bars show it."""
        if not self._console.is_terminal:
            self._console.print(text)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()
