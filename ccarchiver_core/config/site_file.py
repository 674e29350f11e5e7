"""Parser of a site's YAML file that keeps the line of each key, for error messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from ccarchiver_core.base.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

KeyPath = tuple[str, ...]


class SiteFile:
    """One parsed site file.

    Parameters
    ----------
    path : `pathlib.Path`
        The file. Its document must be a mapping with one key, ``ROOT``.

    Raises
    ------
    ConfigError
        If the file cannot be read, is not YAML, or has no ``ROOT`` mapping.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[KeyPath, int] = {}
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            msg = (
                f"{path}: no such file; put the site's configuration there "
                "or set IIP_CONFIG_DIR to its directory"
            )
            raise ConfigError(msg) from error
        except (OSError, UnicodeDecodeError) as error:
            msg = f"{path}: cannot be read: {error}"
            raise ConfigError(msg) from error
        try:
            node = yaml.compose(text, Loader=yaml.CSafeLoader)
            document = yaml.load(text, Loader=yaml.CSafeLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = path if mark is None else f"{path}:{mark.line + 1}"
            msg = f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}"
            raise ConfigError(msg) from error
        if not isinstance(document, dict) or not isinstance(document.get("ROOT"), dict):
            msg = f"{path}: the file must be a mapping with one key ROOT that holds the settings"
            raise ConfigError(msg)
        others = [str(key) for key in document if key != "ROOT"]
        if others:
            msg = f"{path}: unknown key {others[0]} beside ROOT; move it below ROOT or remove it"
            raise ConfigError(msg)
        self.root: dict[str, object] = document["ROOT"]
        if node is not None:
            self._note_lines(node, ())

    def where(self, keys: KeyPath) -> str:
        """Return ``file:line`` of a key below ROOT, or of its nearest parent in the file."""
        path: KeyPath = ("ROOT", *keys)
        while path and path not in self._lines:
            path = path[:-1]
        return f"{self.path}:{self._lines.get(path, 1)}"

    def line(self, keys: KeyPath) -> int | None:
        """Return the line of a key below ROOT; None if the file does not have it."""
        return self._lines.get(("ROOT", *keys))

    def _note_lines(
        self, node: yaml.Node, path: KeyPath, above: tuple[yaml.Node, ...] = ()
    ) -> None:
        if not isinstance(node, yaml.MappingNode):
            return
        if any(node is one for one in above):
            msg = (
                f"{self.path}:{node.start_mark.line + 1}: {'.'.join(path)} contains itself; "
                "write its keys out instead of the alias"
            )
            raise ConfigError(msg)
        for key, value in node.value:
            below = (*path, str(key.value))
            line = key.start_mark.line + 1
            if below in self._lines:
                msg = f"{self.path}:{line}: key {'.'.join(below)} occurs twice; keep one"
                raise ConfigError(msg)
            self._lines[below] = line
            self._note_lines(value, below, (*above, node))
