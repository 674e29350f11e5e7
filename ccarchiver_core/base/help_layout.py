"""Layout of ``--help``: one upper-case placeholder for each value, and none for a flag.

typer also writes the types of values, for example ``<str>``, and ``<bool>`` for flags.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand, TyperGroup
from typing_extensions import override

if TYPE_CHECKING:
    import typer


class HelpCommand(TyperCommand):
    """A command with this layout of its help."""

    @override
    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))


class HelpGroup(TyperGroup):
    """A group of commands with this layout of its help."""

    @override
    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))


def use_help_layout(app: typer.Typer) -> None:
    """Use the layout for a program and all its commands."""
    app.info.cls = HelpGroup
    for command in app.registered_commands:
        command.cls = HelpCommand
    for group in app.registered_groups:
        if group.typer_instance is not None:
            use_help_layout(group.typer_instance)


def _without_types(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if parameter.param_type_name == "argument":
            parameter.display_type_rich = _no_type
        elif parameter.metavar is None:
            parameter.metavar = "" if parameter.is_flag else parameter.name.upper()
    return parameters


def _no_type(ctx: object) -> None:
    """Return no text in place of an argument's type, which typer shows beside its placeholder."""
    del ctx
