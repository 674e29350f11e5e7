"""The code blocks of the documents: each names its language and is valid in it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ccarchiver_core.config.settings import Settings
from tests.docs.documents import ROOT, pages
from tests.support.markdown import Block, blocks

BLOCKS = [(path, block) for path in pages() for block in blocks(path.read_text(encoding="utf-8"))]
KINDS = {"sh", "console", "python", "yaml", "json", "nginx", "text"}
"""Besides Sphinx directives, in braces, which the build checks."""


def of_kind(kind: str) -> list[object]:
    return [
        pytest.param(block, id=f"{path.relative_to(ROOT)}:{block.line}")
        for path, block in BLOCKS
        if block.kind == kind
    ]


def test_each_block_names_its_language() -> None:
    kinds = {f"{path.relative_to(ROOT)}:{block.line}": block.kind for path, block in BLOCKS}
    assert {
        where: kind for where, kind in kinds.items() if kind not in KINDS and kind[:1] != "{"
    } == {}


def test_each_command_block_contains_a_command() -> None:
    shown = [(path, block) for path, block in BLOCKS if block.kind in {"sh", "console"}]
    assert [f"{path}:{block.line}" for path, block in shown if not block.commands] == []


@pytest.mark.processes
@pytest.mark.parametrize("block", of_kind("python"))
@pytest.mark.processes
def test_python_blocks_compile_and_are_formatted(block: Block) -> None:
    compile(block.text, f"line {block.line}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    ruff = [
        str(Path(sys.executable).parent / "ruff"),
        "format",
        "--diff",
        "--stdin-filename",
        "block.ipynb.py",
        "-",
    ]
    done = subprocess.run(
        ruff, input=block.text, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", of_kind("yaml"))
def test_yaml_blocks_are_valid_settings(block: Block) -> None:
    document = yaml.safe_load(block.text)
    assert isinstance(document, dict)
    if "ROOT" in document:
        Settings.model_validate(document["ROOT"])  # an excerpt of a site file must be valid


@pytest.mark.parametrize("block", of_kind("json"))
def test_json_blocks_can_be_parsed_line_by_line(block: Block) -> None:
    for line in block.text.splitlines():
        json.loads(line)
