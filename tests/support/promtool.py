"""Prometheus' checker of metrics and rules."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path


def promtool() -> str:
    """Return the path of promtool, which is beside the interpreter or on the PATH."""
    beside = Path(sys.executable).parent / "promtool"
    found = str(beside) if beside.exists() else shutil.which("promtool")
    assert found is not None, (
        "no promtool; `make setup-tests` installs it from Debian's package prometheus"
    )
    return found


def check_metrics(body: bytes) -> None:
    """Check an exposition with Prometheus' parser and its linter of names and units."""
    _run(["check", "metrics"], body)


def check_rules(path: Path) -> None:
    """Check a file of rules with Prometheus' parser of expressions."""
    _run(["check", "rules", str(path)])


def run_rule_tests(path: Path) -> str:
    """Run a file of rule tests and return the output."""
    return _run(["test", "rules", str(path)])


def check_config(path: Path) -> None:
    """Check a configuration of Prometheus."""
    _run(["check", "config", str(path)])


def _run(words: list[str], given: bytes = b"") -> str:
    done = subprocess.run([promtool(), *words], input=given, capture_output=True, check=False)
    output = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, output
    return output
