"""A Sphinx extension: links of names in docstrings.

In numpy's style, single backticks contain a name: of a parameter, of an object in the same module,
or the full name of one of our objects. Only a full name is unambiguous, so only a full name becomes
a link. A link without a target is a warning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.domains.python import PythonDomain, PyXRefRole
from sphinx.util.docutils import SphinxRole
from typing_extensions import override

if TYPE_CHECKING:
    from docutils.nodes import Element
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.builders import Builder
    from sphinx.environment import BuildEnvironment
    from sphinx.util.typing import ExtensionMetadata

OURS = "ccarchiver_"


class NameRole(SphinxRole):
    """A name in backticks."""

    @override
    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        if not self.text.startswith(OURS) or " " in self.text:
            return [nodes.literal(self.rawtext, self.text)], []
        return PyXRefRole(warn_dangling=True)(
            "py:obj", self.rawtext, self.text, self.lineno, self.inliner, self.options, self.content
        )


class ExactPythonDomain(PythonDomain):
    """Python's objects, found by their full name or by a name relative to the current scope.

    Sphinx would also use any object of the project with the same last name, and a wrong link is
    worse than none.
    """

    @override
    def resolve_xref(
        self,
        env: BuildEnvironment,
        fromdocname: str,
        builder: Builder,
        typ: str,
        target: str,
        node: pending_xref,
        contnode: Element,
    ) -> nodes.reference | None:
        node.attributes.pop("refspecific", None)
        return super().resolve_xref(env, fromdocname, builder, typ, target, node, contnode)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the role and the domain."""
    app.add_role("name", NameRole())
    app.add_domain(ExactPythonDomain, override=True)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
