"""Prometheus' own checker of metrics and rules."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path


def promtool() -> str:
    """Give its path: beside the interpreter of the environment, where set-up puts it, or on the PATH."""
    beside = Path(sys.executable).parent / "promtool"
    found = str(beside) if beside.exists() else shutil.which("promtool")
    assert found is not None, "no promtool; `make setup-tests` takes it out of Debian's package prometheus"
    return found


def check_metrics(body: bytes) -> None:
    """Have an exposition read by Prometheus' parser, and its names and units by its linter."""
    _run(["check", "metrics"], body)


def check_rules(path: Path) -> None:
    """Have a file of rules read by Prometheus' own parser of expressions."""
    _run(["check", "rules", str(path)])


def run_rule_tests(path: Path) -> str:
    """Run a file of rule tests; the value is what it said."""
    return _run(["test", "rules", str(path)])


def check_config(path: Path) -> None:
    """Have a configuration of Prometheus checked."""
    _run(["check", "config", str(path)])


def _run(words: list[str], given: bytes = b"") -> str:
    done = subprocess.run([promtool(), *words], input=given, capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said
