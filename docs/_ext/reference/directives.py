"""The directives: each writes Markdown and has it read in the place of itself."""

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
from ccarchiver_core.config import settings, site_sections
from docs._ext.reference.api import api_lines
from docs._ext.reference.error_codes import error_code_lines
from docs._ext.reference.interface import DEFINITIONS, interface_lines
from docs._ext.reference.settings import REPLACED, settings_lines
from interfaces.model import TopicKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from docutils import nodes


class Written(SphinxDirective, ABC):
    """A directive whose content is written from the code."""

    @abstractmethod
    def read_from(self) -> Iterable[Path]:
        """Give the files whose change makes the page stale."""

    @abstractmethod
    def lines(self) -> list[str]:
        """Give the Markdown that takes the directive's place."""

    @override
    def run(self) -> list[nodes.Node]:
        for path in self.read_from():
            self.env.note_dependency(str(path))
        try:
            lines = self.lines()
        except ValueError as error:
            raise self.error(str(error)) from error
        source = f"{self.get_source_info()[0]} ({self.name})"
        # MyST hangs a heading's section on the page at once, so what comes before the first one must be there by then.
        first = next((number for number, line in enumerate(lines) if line.startswith("#")), len(lines))
        for part in (lines[:first], lines[first:]):
            text = StringList(part, source=source)
            self.state.nested_parse(text, self.content_offset, self.state_machine.node, match_titles=True)
        return []


class SettingsReference(Written):
    """Every setting of the site file."""

    @override
    def read_from(self) -> Iterable[Path]:
        return [REPLACED, Path(inspect.getfile(settings)), Path(inspect.getfile(site_sections))]

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
    """The modules of a package; those of the sub-packages in `:without:` are left out."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Callable[[str], Any]] | None] = {"without": str.split}

    @override
    def read_from(self) -> Iterable[Path]:
        # Autodoc names the modules itself. One that is new shows when the page is read anew: `make clean`, or CI.
        return []

    @override
    def lines(self) -> list[str]:
        return api_lines(self.arguments[0], self.options.get("without", ()))
