from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccarchiver_sim.peers.common import wire

SCALARS = (
    st.text(st.characters(min_codepoint=32, max_codepoint=0x7E)) | st.integers() | st.booleans()
)
MESSAGES = st.dictionaries(
    st.text(st.characters(categories=["Lu"]), min_size=1), SCALARS | st.lists(SCALARS), min_size=1
)


@given(MESSAGES)
def test_block_style_keeps_every_type(message: wire.Message) -> None:
    assert wire.decode(wire.encode_block(message)) == message


@given(MESSAGES)
def test_flow_style_quotes_every_value_on_one_line(message: wire.Message) -> None:
    body = wire.encode_quoted(message)

    assert b"\n" not in body
    expected = {
        key: [str(item) for item in value] if isinstance(value, list) else str(value)
        for key, value in message.items()
    }
    assert wire.decode(body) == expected


def test_forwarder_style_has_the_documented_form() -> None:
    assert wire.encode_quoted({"MSG_TYPE": "A", "STATUS_CODE": 0, "RAFT": ""}) == (
        b'{"MSG_TYPE": "A", "STATUS_CODE": "0", "RAFT": ""}'
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not a mapping"),
        (b"just text", "not a mapping"),
        (b"{1: 2}", "not a mapping of named fields"),
        (b"{unclosed", "not YAML"),
        (b"\xff\xfe\x00", "not YAML"),
        (b"!!python/object/apply:os.getcwd []", "not YAML"),
        (b"a: " + b"x" * wire.MAX_BODY_BYTES, "more than"),
    ],
)
def test_invalid_message_is_rejected_with_a_reason(body: bytes, reason: str) -> None:
    with pytest.raises(wire.WireError, match=reason):
        wire.decode(body)


def test_missing_field_is_named_in_the_error() -> None:
    with pytest.raises(wire.WireError, match="ASSOCIATED: field ACK_ID is missing"):
        wire.text({"MSG_TYPE": "ASSOCIATED"}, "ACK_ID")
