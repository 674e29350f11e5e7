"""Links of the pages that Sphinx does not build, and images; Sphinx checks the others."""

from __future__ import annotations

import pytest

from tests.docs.documents import ROOT
from tests.support.markdown import anchors, links


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md"])
def test_each_link_points_to_an_existing_page_and_heading(name: str) -> None:
    page = ROOT / name
    text = page.read_text(encoding="utf-8")
    for to, anchor in links(text):
        target = (page.parent / to).resolve() if to else page
        assert target.exists(), f"{name}: {to}"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{name}: {to}#{anchor}"
