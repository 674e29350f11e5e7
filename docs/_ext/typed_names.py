"""A Sphinx extension: names that a module imports for the type checker alone, there for autodoc as well.

Annotations are strings here, and what they name is mostly imported under ``if TYPE_CHECKING:``. Autodoc cannot evaluate
them then, takes the bare name, and links it to whatever in the project has that name. So all modules are imported
first, as they are at run time, and then each is given what its TYPE_CHECKING blocks name.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata


def setup(app: Sphinx) -> ExtensionMetadata:
    """Tell Sphinx of it; `typed_names_packages` are the packages to look through."""
    app.add_config_value("typed_names_packages", [], "env")
    app.connect("builder-inited", _give_names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _give_names(app: Sphinx) -> None:
    modules = [module for package in app.config.typed_names_packages for module in _modules(package)]
    for module in modules:
        for statement in _for_the_checker(ast.parse(inspect.getsource(module))):
            if isinstance(statement, ast.ImportFrom) and statement.module is not None:
                source = importlib.import_module(statement.module)
                for alias in statement.names:
                    name = alias.asname or alias.name
                    # Stubs know names that a library does not have when it runs; those stay as they are written.
                    if not hasattr(module, name) and hasattr(source, alias.name):
                        setattr(module, name, getattr(source, alias.name))


def _modules(package: str) -> Iterator[ModuleType]:
    top = importlib.import_module(package)
    yield top
    for found in pkgutil.walk_packages(top.__path__, prefix=f"{package}."):
        yield importlib.import_module(found.name)


def _for_the_checker(tree: ast.Module) -> Iterator[ast.stmt]:
    for statement in tree.body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            yield from statement.body
