"""A site's YAML file with the line and the text of each key, for error messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.yaml_tree import TreeError, compose, tree_of

if TYPE_CHECKING:
    from pathlib import Path

    from ccarchiver_core.config.yaml_tree import Tree

KeyPath = tuple[str, ...]


class SiteFile:
    """One parsed site file.

    Parameters
    ----------
    path : `pathlib.Path`
        The file. Its document must be a mapping with one key, ``ROOT``.
    remedy_if_missing : `str`, optional
        What to do if there is no such file.

    Raises
    ------
    ConfigError
        If the file cannot be read, is not YAML, or has no ``ROOT`` mapping.
    """

    def __init__(self, path: Path, remedy_if_missing: str = "correct its name") -> None:
        self.path = path
        self._remedy_if_missing = remedy_if_missing
        self._lines: dict[KeyPath, int] = {}
        self._texts: dict[KeyPath, str] = {}
        text = self._read()
        try:
            node = compose(text)
            if node is not None:
                self._record(node, ())
            document = None if node is None else tree_of(node)
        except yaml.YAMLError as error:
            raise ConfigError(self._yaml_problem(error, text)) from error
        root = document.get("ROOT") if isinstance(document, dict) else None
        if not isinstance(document, dict) or not isinstance(root, dict):
            msg = (
                f"{path}: the file must be a mapping with one key ROOT that holds the settings; "
                'write "ROOT:" and the settings indented below it, or "ROOT: {}" for the defaults'
            )
            raise ConfigError(msg)
        others = [key for key in document if key != "ROOT"]
        if others:
            line = self._lines.get((others[0],), 1)  # a merged mapping has no line
            msg = (
                f"{path}:{line}: unknown key {others[0]} beside ROOT; "
                "move it below ROOT or remove it"
            )
            raise ConfigError(msg)
        self.root: dict[str, Tree] = root

    def where(self, keys: KeyPath) -> str:
        """Return ``file:line`` of a key below ROOT, or of its nearest parent in the file."""
        path: KeyPath = ("ROOT", *keys)
        while path and path not in self._lines:
            path = path[:-1]
        return f"{self.path}:{self._lines.get(path, 1)}"

    def line(self, keys: KeyPath) -> int | None:
        """Return the line of a key below ROOT; None if the file does not have it."""
        return self._lines.get(("ROOT", *keys))

    def text(self, keys: KeyPath) -> str | None:
        """Return the text of the value of a key below ROOT; None if it has another kind of value.

        It is also None for a key that a merged mapping has.
        """
        return self._texts.get(("ROOT", *keys))

    def add_name(self, name: str, new: str) -> None:
        """Find line and text of a key below ROOT under a new name, too; for a renamed setting."""
        if ("ROOT", name) in self._lines:
            self._lines.setdefault(("ROOT", new), self._lines["ROOT", name])
        if ("ROOT", name) in self._texts:
            self._texts.setdefault(("ROOT", new), self._texts["ROOT", name])

    def _read(self) -> str:
        path = self.path
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            msg = f"{path}: no such file; {self._remedy_if_missing}"
            raise ConfigError(msg) from error
        except UnicodeDecodeError as error:
            msg = f"{path}: cannot be read: byte {error.start} is not UTF-8; save the file as UTF-8"
            raise ConfigError(msg) from error
        except OSError as error:
            msg = (
                f"{path}: cannot be read: {error.strerror}; "
                "it must be a file that the archiver's user may read"
            )
            raise ConfigError(msg) from error

    def _yaml_problem(self, error: yaml.YAMLError, text: str) -> str:
        if isinstance(error, yaml.reader.ReaderError):
            line = text.encode()[: error.position].count(b"\n") + 1
            return (
                f"{self.path}:{line}: not valid YAML: the line has the character "
                f"U+{error.character:04X}; remove it"
            )
        mark = getattr(error, "problem_mark", None)
        where = self.path if mark is None else f"{self.path}:{mark.line + 1}"
        if isinstance(error, TreeError):
            return f"{where}: {error.problem}"
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        return f"{where}: not valid YAML: {problem}; correct this line or the one before it"

    def _record(self, node: yaml.Node, path: KeyPath, above: tuple[yaml.Node, ...] = ()) -> None:
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
            if isinstance(value, yaml.ScalarNode):
                self._texts[below] = value.value
            self._record(value, below, (*above, node))
