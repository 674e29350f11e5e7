"""Texts that a SAL event cannot carry: free text is cut, any other text becomes undef."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccarchiver_sal.event_texts import fit_event, fit_free_text

LENGTHS = {"obsid": 20, "raft": 5, "sensor": 5, "statusCode": None, "description": 40}


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [
        ("ok", 5, "ok"),
        ("", 5, ""),
        ("123456", 5, "12..."),
        ("12345", 5, "12345"),
        ("1234", 3, "..."),
        ("1234", 2, ".."),
        ("x" * 1000, 256, "x" * 253 + "..."),
        ("unbounded" * 100, None, "unbounded" * 100),
        ("dätä", 10, "dätä"),
        ("Ελλάς", 10, "?????"),
        ("a\0b", 10, "a b"),
        ("\ud800", 10, "?"),
    ],
)
def test_free_text_is_cut_with_a_mark(text: str, length: int | None, expected: str) -> None:
    assert fit_free_text(text, length) == expected


@given(
    st.text(st.characters(exclude_categories=[])),
    st.none() | st.integers(min_value=1, max_value=50),
)
def test_fitted_text_can_be_carried_and_is_fitted_once(text: str, length: int | None) -> None:
    fitting = fit_free_text(text, length)

    assert "\0" not in fitting
    fitting.encode("iso-8859-1")
    assert length is None or len(fitting) <= length
    assert fit_free_text(fitting, length) == fitting


@pytest.mark.parametrize(
    ("values", "published", "description"),
    [
        ({"raft": "R22"}, {"raft": "R22"}, "ok"),
        ({"raft": "undef"}, {"raft": "undef"}, "ok"),
        ({"raft": "R22S11"}, {"raft": "undef"}, "raft=R22S11: ok"),
        (
            {"raft": "R22S11", "sensor": "S00"},
            {"raft": "undef", "sensor": "S00"},
            "raft=R22S11: ok",
        ),
        (
            {"raft": "R22S11", "sensor": "S00000"},
            {"raft": "undef", "sensor": "undef"},
            "raft=R22S11, sensor=S00000: ok",
        ),
        ({"sensor": "S0→"}, {"sensor": "undef"}, r"sensor=S0\u2192: ok"),
        ({"sensor": "S\0"}, {"sensor": "undef"}, r"sensor=S\x00: ok"),
        (
            {"obsid": "CC_O_20261122_735514_1"},
            {"obsid": "undef"},
            "obsid=CC_O_20261122_735514_1: ok",
        ),
        ({"statusCode": 5612}, {"statusCode": 5612}, "ok"),
    ],
)
def test_text_that_does_not_fit_is_undef_and_in_the_description(
    values: dict[str, str | int], published: dict[str, str | int], description: str
) -> None:
    fitted = fit_event({**values, "description": "ok"}, LENGTHS)

    assert fitted.values == {**published, "description": description}
    assert fitted.replaced == {
        name: values[name] for name in values if values[name] != published[name]
    }


def test_description_with_a_replaced_text_is_cut_at_its_end() -> None:
    fitted = fit_event({"raft": "R22S11", "description": "x" * 100}, LENGTHS)

    assert fitted.values["description"] == "raft=R22S11: " + "x" * 24 + "..."


def test_text_is_replaced_in_an_event_without_a_description() -> None:
    assert fit_event({"raft": "R22S11"}, LENGTHS).values == {"raft": "undef"}


@given(
    st.dictionaries(
        st.sampled_from(["obsid", "raft", "sensor"]),
        st.text(st.characters(exclude_categories=[])),
    )
)
def test_value_that_programs_compare_is_published_whole_or_not_at_all(
    values: dict[str, str | int],
) -> None:
    fitted = fit_event(values, LENGTHS)

    assert all(value in (values[name], "undef") for name, value in fitted.values.items())
    assert set(fitted.values) == set(values)
