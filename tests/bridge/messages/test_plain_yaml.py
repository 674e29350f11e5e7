"""plain_yaml: the same results as libyaml, for the messages that it accepts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccarchiver_bridge.messages import plain_yaml, yaml_codec
from ccarchiver_core.base.errors import RejectedError
from ccarchiver_core.domain.exposure import Instruction
from tests.bridge.messages.wire_samples import RECEIVED, STYLES, instruction, received_body

KEYS = st.sampled_from(
    ["MSG_TYPE", "OBSID", "imageName", "a", "_b", "NULL", "null", "no", "y", "k" * 64, "k" * 65]
)

WORDS = st.sampled_from(
    [
        *("null", "~", "NULL", "true", "No", "on", "12", "012", "0x1F", "1e5", "1.5", "1.0e+5"),
        *("2026-11-22", "2026-11-22_08:18:37.932650_3", "2026-11-22T08:18:37Z", "1:30", "1:30.5"),
        *(
            ".5",
            ".inf",
            ".nan",
            "...",
            "---",
            "-",
            "=",
            "<<",
            "/data/a-b.fits",
            "a@b:/c",
            "a:",
            ":",
        ),
        *(
            "file transferred",
            "a  b",
            " a",
            "a ",
            "a: b",
            "a #b",
            "#",
            "a,b",
            "[a]",
            "{a}",
            "é",
            "",
        ),
        *(
            "http://127.0.0.1:8000/x.yaml",
            "it's",
            'say "x"',
            "a\\b",
            "a\tb",
            "a\nb",
            "+1",
            "-1",
            "a" * 90,
        ),
    ]
)

TEXTS = WORDS | st.text(alphabet="aZ09_./@+=-: #'\"\\,[]{}&*!|>%~\n\té", max_size=12)

VALUES = (
    TEXTS
    | st.integers()
    | st.floats()
    | st.none()
    | st.booleans()
    | st.lists(TEXTS | st.integers(), max_size=3)
    | st.dictionaries(KEYS, TEXTS | st.lists(TEXTS, max_size=2), max_size=3)
)


def agrees_with_libyaml(text: str) -> bool:
    """Check a text that `plain_yaml.read` accepts; return whether it does."""
    plain = plain_yaml.read(text)
    if plain is not None:
        assert plain == yaml_codec.read_any(text)
    return plain is not None


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", RECEIVED)
def test_each_message_of_the_peers_is_plain(name: str, style: str) -> None:
    assert agrees_with_libyaml(received_body(name, style).decode())


@pytest.mark.parametrize("kind", Instruction)
def test_each_instruction_is_plain(kind: Instruction) -> None:
    fields = instruction(kind, 1).model_dump(by_alias=True)

    written = plain_yaml.write(fields)

    assert written is not None
    assert written.encode() == yaml_codec.write_any(fields)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_written_message_equals_that_of_libyaml(fields: dict[str, object]) -> None:
    written = plain_yaml.write(fields)

    assert written is None or written.encode() == yaml_codec.write_any(fields)


@given(st.dictionaries(KEYS, TEXTS | st.integers(), max_size=4))
def test_message_that_was_written_is_read_as_by_libyaml(fields: dict[str, object]) -> None:
    for text in (yaml_codec.write_any(fields).decode(), json.dumps(fields)):
        agrees_with_libyaml(text)


LINES = st.lists(
    st.tuples(KEYS | TEXTS, st.sampled_from([": ", ":", " : ", ":  "]), TEXTS).map("".join)
    | st.tuples(KEYS, st.just(": "), st.sampled_from("'\""), TEXTS, st.sampled_from("'\"")).map(
        "".join
    ),
    max_size=4,
)


@given(LINES, st.sampled_from(["\n", "\r\n", "\n\n", "\n ", ", "]), st.sampled_from(["\n", ""]))
def test_any_text_is_read_as_by_libyaml_or_left_to_it(
    lines: list[str], between: str, end: str
) -> None:
    for text in (between.join(lines) + end, "{" + between.join(lines) + "}" + end):
        try:
            expected = yaml_codec.read_any(text)
        except RejectedError:
            assert plain_yaml.read(text) is None
        else:
            assert plain_yaml.read(text) in (None, expected)


ITEMS = st.lists(
    st.tuples(
        st.just('"'), KEYS, st.just('": '), st.sampled_from(['"', ""]), TEXTS, st.sampled_from('",')
    ).map("".join),
    min_size=1,
    max_size=3,
)


@given(ITEMS)
def test_any_flow_mapping_is_read_as_by_libyaml_or_left_to_it(items: list[str]) -> None:
    text = "{" + ", ".join(items) + "}"
    plain = plain_yaml.read(text)
    if plain is not None:
        assert plain == yaml_codec.read_any(text)
