"""The commands, cells and lines of the documents, run beside a running archiver."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import io
import json
import re
import shlex
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from lsst.ts import salobj

from ccarchiver_core.config.settings import load_settings
from ccarchiver_core.redis.client import make_client
from ccarchiver_core.store import dead_letters
from ccarchiver_core.store.transaction import Transaction
from ccarchiver_sim.pace import scaled, within
from ccarchiver_sim.testbed.environment import applied
from tests.docs.command_registry import Verification, commands_of
from tests.docs.documents import DOCS, ROOT, commands
from tests.support.archiver_harness import LIMIT_S, ArchiverHarness
from tests.support.ledger_builder import LedgerBuilder
from tests.support.markdown import blocks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.cli_server import CliServer

pytestmark = [
    pytest.mark.integration,
    pytest.mark.extended,  # tests/docs checks that each command of the documents exists
    pytest.mark.asyncio(loop_scope="module"),
]

SETTINGS: dict[str, object] = {}
"""Unchanged settings of a separate archiver: the pages' image names also occur in other tests."""

NIGHT = (DOCS / "user-guide" / "example-night.md").read_text(encoding="utf-8")
REHEARSAL = (DOCS / "developer-guide" / "simulators.md").read_text(encoding="utf-8")
SIMULATED = [
    typed
    for block in blocks(REHEARSAL)
    for typed in block.commands
    if typed.startswith("ccarchiver-sim-")
]
CAMERA = next(typed for typed in SIMULATED if "camera" in typed)
PEERS = [typed for typed in SIMULATED if typed != CAMERA]
SHOWN_DAQ = "/tmp/daq"  # noqa: S108 (never used: replaced by a folder of the run)
"""Folder of the camera's data acquisition in the documents."""

WELL, WRONG, INTERRUPTED = 0, 1, 130
"""Exit codes of `ccarchiver` for an accepted command: healthy, problem found, ended by Ctrl-C."""
SIDE_BY_SIDE = 3
"""Number of commands run in parallel: each takes half a second of one core."""
WATCHED_S = 3
"""Duration of a `--watch` command in seconds: its second poll comes after one."""
_PLAIN = re.compile(r"[\w ./:-]+", re.ASCII)
"""A command that a shell would only split at spaces."""
NIGHTS_DATE = "2026-11-22"
"""A night without records in the ledger, which also has a summary."""


@asynccontextmanager
async def typed(
    harness: ArchiverHarness, command: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a documented command with the environment of the site; end it with the block."""
    process = await asyncio.create_subprocess_exec(
        "/bin/bash",
        "-c",
        f"exec {command.replace(SHOWN_DAQ, str(harness.rig.folder.daq))}",
        cwd=ROOT,
        env=harness.rig.env,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        async with within(LIMIT_S):
            await process.communicate()


async def wait_for_output(process: asyncio.subprocess.Process, words: str) -> list[str]:
    """Read the output of a program until a line contains some words."""
    assert process.stdout is not None
    lines: list[str] = []
    async with within(LIMIT_S):
        while line := (await process.stdout.readline()).decode():
            lines.append(line.rstrip())
            if words in line:
                return lines
    pytest.fail(f"the program ended without printing {words!r}: {lines}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rehearsal(own_archiver: ArchiverHarness) -> AsyncIterator[ArchiverHarness]:
    """Start the peers as the page of the simulators does, all at once."""
    async with contextlib.AsyncExitStack() as running:
        # Any free port for the headers: the default port may be in use.
        started = [
            await running.enter_async_context(
                typed(own_archiver, command.replace("--port 8000", "--port 0"))
            )
            for command in PEERS
        ]
        await asyncio.gather(*(wait_for_output(process, '"event": "ready"') for process in started))
        yield own_archiver


async def take(harness: ArchiverHarness, *options: str) -> str:
    """Take an image as the page does, and return its name."""
    async with typed(harness, " ".join([CAMERA, *options])) as camera:
        lines = await wait_for_output(camera, '"topic": "endReadout"')
    return str(json.loads(lines[-1])["image"])


async def test_notebook_cells_follow_an_image_of_the_rehearsal(rehearsal: ArchiverHarness) -> None:
    cells = [block.text for block in blocks(NIGHT) if block.kind == "python"]
    waits = next(number for number, cell in enumerate(cells) if "evt_endReadout.next" in cell)
    names: dict[str, object] = {}
    printed = io.StringIO()

    with applied(rehearsal.rig.sal), contextlib.redirect_stdout(printed):
        image: asyncio.Task[str] | None = None
        for number, cell in enumerate(cells):
            if number == waits:
                # The camera waits until all peers have found it, so the cell runs before the image.
                image = asyncio.create_task(take(rehearsal))
            code = compile(cell, f"cell {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            begun = eval(code, names)  # noqa: S307 (a cell of our own page)
            if begun is not None:
                async with within(LIMIT_S):
                    await begun
        assert image is not None

    assert printed.getvalue().splitlines() == [f"{await image} complete"]
    assert rehearsal.sal.state is salobj.State.STANDBY


async def test_documented_script_follows_an_image(rehearsal: ArchiverHarness) -> None:
    [command] = [
        typed for block in blocks(NIGHT) for typed in block.commands if "night_remote" in typed
    ]
    shown = next(
        block.text
        for block in blocks(NIGHT)
        if block.kind == "text" and "files ingested" in block.text
    )

    async with typed(rehearsal, command.replace("python ", f"{sys.executable} ", 1)) as script:
        before = await wait_for_output(script, "archiver ENABLED")
        image = await take(rehearsal, "--sequence-start", "2")
        after = await wait_for_output(script, "archiver STANDBY")
        async with within(LIMIT_S):
            assert await script.wait() == 0

    assert (
        "\n".join([*before, *after]).replace(image, "IMAGE")
        == re.sub(r"CC_O_\w+", "IMAGE", shown).strip()
    )


async def test_documented_commander_input_commands_the_csc(rehearsal: ArchiverHarness) -> None:
    [page] = [block for block in blocks(NIGHT) if block.commands == ["command_ccarchiver"]]
    lines = page.text.splitlines()[1:]
    words = [line for line in lines if re.fullmatch("[a-z]+", line)]
    assert [f"Finished command {word}" for word in words[:-1]] == [
        line for line in lines if "Finished" in line
    ]

    async with typed(rehearsal, "command_ccarchiver") as commander:
        assert commander.stdin is not None
        for word in words:
            commander.stdin.write(f"{word}\n".encode())
            await commander.stdin.drain()
            if word != "exit":
                await wait_for_output(commander, f"Finished command {word}")
        async with within(LIMIT_S):
            assert await commander.wait() == 0
    assert rehearsal.sal.state is salobj.State.STANDBY


async def store_dead_letters(harness: ArchiverHarness, count: int) -> list[str]:
    """Store dead letters and return their ids."""
    settings = load_settings(harness.rig.folder.site_file)
    async with make_client(settings) as client:
        ledger_builder = LedgerBuilder(client, settings)
        for _ in range(count):
            transaction = Transaction()
            dead_letters.add(
                transaction,
                settings,
                origin=settings.telemetry_queue,
                reason="it is odd",
                raw=b"{}",
            )
            await ledger_builder.write(transaction)
        return [entry.id for entry in await dead_letters.newest(client, count)]


def placed(command: str, harness: ArchiverHarness, image: str, dead_letter_ids: list[str]) -> str:
    """Replace the placeholders of a documented command with values of this archiver."""
    words = command.replace("127.0.0.1:8094", f"127.0.0.1:{harness.rig.status_port}")
    if "pair next" in words:
        words = words.replace(" [FORWARDER]", "")  # without a name the command only prints
    words = re.sub(r"\bCC_O_\w+|\bNAME\b|\bIMAGE\b", image, words)
    words = re.sub(r"\bENTRY_ID\b|\b\d{13}-\d\b", lambda _: dead_letter_ids.pop(), words)
    words = re.sub(r"\[?\bFILE\b\]?|\bOLD\b", str(harness.rig.folder.site_file), words)
    words = words.replace("NEW", "new.yaml").replace("[DATE]", NIGHTS_DATE)
    if "--watch" in words:
        words = f"timeout --preserve-status --signal INT {scaled(WATCHED_S):.1f} {words}"
    return words


async def test_each_documented_command_is_understood(
    rehearsal: ArchiverHarness, cli_server: CliServer
) -> None:
    shown = commands_of(Verification.ON_ARCHIVER, list(commands()))
    dead_letter_ids = await store_dead_letters(
        rehearsal, sum("deadletter" in command for command in shown)
    )
    image = str(rehearsal.sal.of("imageInOODS")[-1].fields["obsid"])
    done = asyncio.Semaphore(SIDE_BY_SIDE)

    async def answers(command: str) -> tuple[str, int, str]:
        async with done:
            program, *words = shlex.split(command)
            if program == "ccarchiver" and _PLAIN.fullmatch(command):
                rig = rehearsal.rig
                env = (
                    rig.rabbit.control_environment(rig.env) if "--rabbitmqctl" in words else rig.env
                )
                answer = await asyncio.to_thread(cli_server.run, tuple(words), env, rig.folder.root)
                return command, answer.returncode, answer.stdout + answer.stderr
            process = await asyncio.create_subprocess_exec(
                "/bin/bash",
                "-c",
                command,
                env=rehearsal.rig.env,
                cwd=rehearsal.rig.folder.root,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
            async with within(LIMIT_S):
                out, _ = await process.communicate()
            assert process.returncode is not None
            return command, process.returncode, out.decode()

    # Many differ only in the image that they name.
    here = dict.fromkeys(placed(command, rehearsal, image, dead_letter_ids) for command in shown)
    given_up = [command for command in here if "release" in command]
    results = await asyncio.gather(
        *(answers(command) for command in here if command not in given_up)
    )
    results += [await answers(command) for command in given_up]
    wrong = [
        one
        for one in results
        if one[1] not in {WELL, WRONG, INTERRUPTED} or not one[2] or "Traceback" in one[2]
    ]
    assert wrong == []
