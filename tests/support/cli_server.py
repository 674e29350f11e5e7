"""Runs ``ccarchiver`` in a new process each time, without importing it each time.

Starting the program takes half a second of a core, mostly for imports. This server imports
everything once; each command is a fork of it, with its own arguments, environment and working
directory.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import select
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from ccarchiver_sim.pace import MEASURE_EVERY_S, Deadline

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

PROGRAM = "ccarchiver"
LIMIT_S = 60.0
"""Four times the limit of the slowest command, the doctor; a command that hangs is killed."""
ROOT = Path(__file__).parent.parent.parent


class Typed(NamedTuple):
    """Output and exit code of a command."""

    returncode: int
    stdout: str
    stderr: str


class CliServer:
    """The server; several threads can use it, one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: subprocess.Popen[str] | None = None

    def run(self, words: tuple[str, ...], env: Mapping[str, str], cwd: Path = ROOT) -> Typed:
        """Run ``ccarchiver`` to its end.

        Raises
        ------
        TimeoutError
            If the command does not end in time.
        """
        with self._lock, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            files = [f"/proc/{os.getpid()}/fd/{file.fileno()}" for file in (out, err)]
            order = {"words": words, "env": dict(env), "cwd": str(cwd), "files": files}
            code = self._ask(order)
            for file in (out, err):
                file.seek(0)
            return Typed(code, out.read().decode(), err.read().decode())

    def close(self) -> None:
        """Stop the server and a command that hangs."""
        if self._server is not None:
            self._server.kill()
            self._server.communicate()
            self._server = None

    def _ask(self, order: dict[str, Any]) -> int:
        if self._server is None:
            argv = [sys.executable, "-m", "tests.support.cli_server"]
            pipe = subprocess.PIPE
            self._server = subprocess.Popen(argv, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        server = self._server
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(order) + "\n")
        server.stdin.flush()
        deadline = Deadline(LIMIT_S)
        while not select.select([server.stdout], [], [], MEASURE_EVERY_S)[0]:
            if deadline.has_passed():
                self.close()
                raise TimeoutError(
                    f"`{PROGRAM} {' '.join(order['words'])}` took more than {LIMIT_S:g} s"
                )
        return int(server.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def serve() -> None:
    """Run each command that arrives as a line of JSON, and print its exit code."""
    import ccarchiver_cli  # noqa: PLC0415  only the server needs the import

    for module in pkgutil.walk_packages(ccarchiver_cli.__path__, f"{ccarchiver_cli.__name__}."):
        importlib.import_module(module.name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201  this is the reply


def _become(order: dict[str, Any]) -> None:
    """Become the program; this does not return."""
    from ccarchiver_cli.main import main  # noqa: PLC0415  only the server needs the import

    code: object = 1
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        for number, path in enumerate(order["files"], start=1):
            os.dup2(os.open(path, os.O_WRONLY), number)
        os.chdir(order["cwd"])
        os.environ.clear()
        os.environ.update(order["env"])
        sys.argv = [PROGRAM, *order["words"]]
        sys.modules[
            "__main__"
        ].__package__ = None  # otherwise messages name this module as the program
        main()
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001  like the interpreter at the end of a program
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    serve()
