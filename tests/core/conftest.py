"""The command runner, for tests of records that the readers of commands must tolerate."""

from __future__ import annotations

from tests.cli.conftest import cli

__all__ = ["cli"]
