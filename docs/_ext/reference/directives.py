"""The directives; each one generates Markdown that replaces it."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective
from typing_extensions import override

from ccarchiver_core.base import error_codes
from ccarchiver_core.config import site_schema, site_sections
from docs._ext.reference.api import api_lines
from docs._ext.reference.error_codes import error_code_lines
from docs._ext.reference.interface import DEFINITIONS, interface_lines
from docs._ext.reference.settings import REPLACED, settings_lines
from interfaces.model import TopicKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from docutils import nodes


class Written(SphinxDirective, ABC):
    """A directive whose content is generated from the code."""

    @abstractmethod
    def read_from(self) -> Iterable[Path]:
        """Return the files whose change makes the page outdated."""

    @abstractmethod
    def lines(self) -> list[str]:
        """Return the Markdown that replaces the directive."""

    @override
    def run(self) -> list[nodes.Node]:
        for path in self.read_from():
            self.env.note_dependency(str(path))
        try:
            lines = self.lines()
        except ValueError as error:
            raise self.error(str(error)) from error
        source = f"{self.get_source_info()[0]} ({self.name})"
        # MyST appends a heading's section to the page at once, so the lines before the first
        # heading must be parsed before.
        first = next(
            (number for number, line in enumerate(lines) if line.startswith("#")), len(lines)
        )
        for part in (lines[:first], lines[first:]):
            text = StringList(part, source=source)
            self.state.nested_parse(
                text, self.content_offset, self.state_machine.node, match_titles=True
            )
        return []


class SettingsReference(Written):
    """Every setting of the site file."""

    @override
    def read_from(self) -> Iterable[Path]:
        return [REPLACED, Path(inspect.getfile(site_schema)), Path(inspect.getfile(site_sections))]

    @override
    def lines(self) -> list[str]:
        return settings_lines()


class InterfaceReference(Written):
    """The topics of a SAL component."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Callable[[str], Any]] | None] = {
        "kind": lambda word: directives.choice(word, [kind.name.lower() for kind in TopicKind]),
        "topics": lambda words: words.replace(",", " ").split(),
    }

    @override
    def read_from(self) -> Iterable[Path]:
        return DEFINITIONS.glob("*.yaml")

    @override
    def lines(self) -> list[str]:
        kind = TopicKind[self.options.get("kind", TopicKind.EVENT.name).upper()]
        return interface_lines(self.arguments[0], kind, self.options.get("topics", ()))


class ErrorCodes(Written):
    """The codes of the errorCode event."""

    @override
    def read_from(self) -> Iterable[Path]:
        return [Path(inspect.getfile(error_codes))]

    @override
    def lines(self) -> list[str]:
        return error_code_lines()


class ApiPackage(Written):
    """The modules of a package, without those of the sub-packages in `:without:`."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Callable[[str], Any]] | None] = {"without": str.split}

    @override
    def read_from(self) -> Iterable[Path]:
        # Autodoc records the modules itself. A new module appears when the page is read again:
        # after `make clean`, or in CI.
        return []

    @override
    def lines(self) -> list[str]:
        return api_lines(self.arguments[0], self.options.get("without", ()))
