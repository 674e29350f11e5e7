"""Configuration of Sphinx for the documents: ``make docs``.

Neither the build nor the pages load files from other sites: graphviz draws the diagrams during the
build, the theme contains its own files, and there are no links to inventories of other projects.
"""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the API pages describe this checkout, not an installed version

project = "ccarchiver"
author = "the ccarchiver developers"
project_copyright = "GPL-3.0-or-later"
release = version = installed_version("ccarchiver")

extensions = [
    "docs._ext.names",
    "docs._ext.reference",
    "docs._ext.typed_names",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.graphviz",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "_ext"]
templates_path: list[str] = []

# ----------------------------------------------------------------------------------------- Markdown
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4  # anchors of headings in the style of the code hosts
# A block without a language is not highlighted.
highlight_language = "none"
# An ellipsis stands for omitted output, also in JSON, so a lexer can find invalid input.
suppress_warnings = ["misc.highlighting_failure"]

# ---------------------------------------------------------------------------------------------- API
typed_names_packages = [
    f"ccarchiver_{part}" for part in ("core", "sal", "bridge", "health", "cli", "sim")
]
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # other packages' docstrings may be in another style
autodoc_typehints_format = "short"
napoleon_google_docstring = False
napoleon_use_rtype = False  # a single word below "Returns" is a name, not a type
default_role = "name"
# With every function and field in the navigation of every page, a build would take twice as long.
toc_object_entries = False

# ----------------------------------------------------------------------------------------- diagrams
graphviz_output_format = "svg"

# --------------------------------------------------------------------------------------------- HTML
html_theme = "furo"
html_title = f"ccarchiver {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False

# ---------------------------------------------------------------------------------------- linkcheck
# Only `make docs-links` uses this, because it needs the internet. Every build checks the links
# within the site.
linkcheck_ignore = [r"http://(127\.0\.0\.1|localhost)[:/]"]
linkcheck_timeout = 20
