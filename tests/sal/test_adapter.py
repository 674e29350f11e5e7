from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccarchiver_sal.adapter import fit


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [
        ("ok", 5, "ok"),
        ("", 5, ""),
        ("123456", 5, "12345"),
        ("12345", 5, "12345"),
        ("x" * 1000, 256, "x" * 256),
        ("unbounded" * 100, None, "unbounded" * 100),
        ("dätä", 10, "dätä"),
        ("Ελλάς", 10, "?????"),
        ("a\0b", 10, "a b"),
        ("\ud800", 10, "?"),
    ],
)
def test_fit_makes_a_text_fit_its_field(text: str, length: int | None, expected: str) -> None:
    assert fit(text, length) == expected


@given(
    st.text(st.characters(exclude_categories=[])),
    st.none() | st.integers(min_value=1, max_value=50),
)
def test_fit_returns_a_text_that_sal_can_carry(text: str, length: int | None) -> None:
    fitting = fit(text, length)

    assert "\0" not in fitting
    fitting.encode("iso-8859-1")
    assert length is None or len(fitting) <= length
    assert fit(fitting, length) == fitting
