"""Links of the pages that Sphinx does not build, and pictures: those of the site are checked by its build."""

from __future__ import annotations

import pytest

from tests.docs.documents import ROOT
from tests.support.markdown import anchors, links


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md"])
def test_each_link_leads_to_a_page_and_a_heading(name: str) -> None:
    page = ROOT / name
    text = page.read_text(encoding="utf-8")
    for to, anchor in links(text):
        target = (page.parent / to).resolve() if to else page
        assert target.exists(), f"{name}: {to}"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{name}: {to}#{anchor}"
