"""Any body is decoded into a message or raises RejectedError with a reason, nothing else."""

from __future__ import annotations

import time

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccarchiver_bridge.messages.incoming import Incoming, MessageDecoder
from ccarchiver_bridge.messages.target_dir import check
from ccarchiver_core.base.errors import RejectedError
from ccarchiver_core.config.settings import Settings
from tests.bridge.messages.wire_samples import RECEIVED, STYLES, received_body

READER = MessageDecoder(Settings())
GOOD = [received_body(name, style) for name in RECEIVED for style in STYLES]

ALIAS_BOMB = b"a: &a [x, x]\n" + b"".join(
    b"%c: &%c [*%c, *%c]\n" % (i + 1, i + 1, i, i) for i in range(97, 121)
)
RETRIEVAL = "MSG_TYPE: IMAGE_RETRIEVAL_FOR_ARCHIVING\n"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not a YAML mapping"),
        (b"# only a comment\n", "not a YAML mapping"),
        (b"just text", "not a YAML mapping"),
        (b"- MSG_TYPE\n- ASSOCIATED_ACK\n", "not a YAML mapping"),
        (b"MSG_TYPE: [unclosed", "not YAML"),
        (b"MSG_TYPE: a: b", "not YAML"),
        (b"\tMSG_TYPE: x", "not YAML"),
        (b'{"MSG_TYPE": "ASSOCIATED_ACK"', "not YAML"),
        (b"MSG_TYPE: \x00", "not YAML"),
        (b"%YAML 9.9\n---\nMSG_TYPE: x\n", "not YAML"),
        (b"MSG_TYPE: \xff\xfe", "not UTF-8"),
        ("MSG_TYPE: IMAGE_IN_OODS".encode("utf-16"), "not UTF-8"),
        (b"MSG_TYPE: x\n---\nMSG_TYPE: x\n", "more than one YAML document"),
        (b"MSG_TYPE: x\nMSG_TYPE: x\n", "occurs twice"),
        (b"[a]: b\n", "a key of the mapping is not text"),
        (b"{a: b}: c\n", "a key of the mapping is not text"),
        (b"~: c\n", "a key of the mapping is not text"),
        (b"ACK_ID: 1\n", "no MSG_TYPE"),
        (b"MSG_TYPE:\n", "no MSG_TYPE"),
        (b"MSG_TYPE: [ASSOCIATED_ACK]\n", "no MSG_TYPE"),
        (b"MSG_TYPE: {a: b}\n", "no MSG_TYPE"),
        (b"msg_type: ASSOCIATED_ACK\n", "no MSG_TYPE"),
        (b"MSG_TYPE: ''\n", "unknown MSG_TYPE ''"),
        (b"MSG_TYPE: ASSOCIATED\n", "unknown MSG_TYPE 'ASSOCIATED'"),
        (b"MSG_TYPE: AT_FWDR_XFER_PARAMS_ACK\n", "unknown MSG_TYPE 'AT_FWDR_XFER_PARAMS_ACK'"),
        (b"MSG_TYPE: " + b"x" * 100_000, "unknown MSG_TYPE 'xxx"),
        (b"a: &b c\nMSG_TYPE: *b\n", "anchors and aliases"),
        (ALIAS_BOMB, "anchors and aliases"),
        (b"&a [*a]", "anchors and aliases"),
        (b"<<: *gone\n", "not YAML|anchors and aliases"),
        (b"[" * 100_000, "nested deeper"),
        (b"a: " + b"{a: " * 50_000, "nested deeper"),
        (b"\n".join(b" " * i + b"a:" for i in range(500)), "nested deeper"),
        (b"- " * 100_000, "nested deeper"),
        (b"? " * 100_000, "nested deeper|not YAML|not text"),
        (b"a: " + b"x" * 10_000_000, "longer than the 262144 allowed"),
        (b"\xff" * 10_000_000, "longer than the 262144 allowed"),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_body_that_is_no_message_is_rejected_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(RejectedError, match=reason):
        READER.read(body)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("MSG_TYPE: ASSOCIATED_ACK\nASSOCIATION_KEY: k\n", "ACK_ID: Field required"),
        ("MSG_TYPE: ASSOCIATED_ACK\nACK_ID: a\n", "ASSOCIATION_KEY: Field required"),
        ("MSG_TYPE: ASSOCIATED_ACK\nACK_ID: a\nASSOCIATION_KEY:\n", "ASSOCIATION_KEY: "),
        ("MSG_TYPE: ASSOCIATED_ACK\nACK_ID: ''\nASSOCIATION_KEY: k\n", "ACK_ID: "),
        ("MSG_TYPE: ASSOCIATED_ACK\nACK_ID: [a]\nASSOCIATION_KEY: k\n", "ACK_ID: "),
        (f"MSG_TYPE: ASSOCIATED_ACK\nACK_ID: {'a' * 300}\nASSOCIATION_KEY: k\n", "ACK_ID: "),
        ("MSG_TYPE: NEW_CC_ARCHIVE_ITEM_ACK\nACK_ID: a\nTARGET_DIR: [/data]\n", "TARGET_DIR: "),
        ("MSG_TYPE: NEW_CC_ARCHIVE_ITEM_ACK\nACK_ID: a\nACK_BOOL: perhaps\n", "ACK_BOOL: "),
        ("MSG_TYPE: CC_FWDR_END_READOUT_ACK\n", "ACK_ID: Field required"),
        (f"{RETRIEVAL}STATUS_CODE: 0\n", "OBSID: Field required"),
        (f"{RETRIEVAL}OBSID:\nSTATUS_CODE: 0\n", "OBSID: "),
        (f"{RETRIEVAL}OBSID: {{a: b}}\nSTATUS_CODE: 0\n", "OBSID: "),
        (f"{RETRIEVAL}OBSID: i\n", "STATUS_CODE: Field required"),
        (f"{RETRIEVAL}OBSID: i\nSTATUS_CODE: ok\n", "STATUS_CODE: "),
        (f"{RETRIEVAL}OBSID: i\nSTATUS_CODE: 0.5\n", "STATUS_CODE: "),
        (f"{RETRIEVAL}OBSID: i\nSTATUS_CODE:\n", "STATUS_CODE: "),
        (f"{RETRIEVAL}OBSID: i\nSTATUS_CODE: 2147483648\n", "STATUS_CODE: "),
        (f"{RETRIEVAL}OBSID: i\nSTATUS_CODE: {'9' * 10_000}\n", "STATUS_CODE: "),
        (f"{RETRIEVAL}OBSID: i\nSTATUS_CODE: 0\nRAFT: [2, 2]\n", "RAFT: "),
        (
            "MSG_TYPE: IMAGE_IN_OODS\nOBSID: i\nSTATUS_CODE: 0\nARCHIVER: a\n",
            "CAMERA: Field required",
        ),
        (
            "MSG_TYPE: CC_FILE_INGEST_REQUEST\nOBSID: i\nSTATUS_CODE: 0\nCAMERA: c\n",
            "ARCHIVER: Field required",
        ),
    ],
    ids=lambda value: value[:60].replace("\n", "|"),
)
def test_missing_or_wrong_field_is_named_in_the_error(body: str, field: str) -> None:
    with pytest.raises(RejectedError) as caught:
        READER.read(body.encode())

    assert field in str(caught.value)


@pytest.mark.parametrize(
    "body", [ALIAS_BOMB, b"[" * 200_000, b"x" * 10_000_000, b"{" * 200_000], ids=lambda b: b[:5]
)
def test_hostile_body_is_rejected_in_little_time(body: bytes) -> None:
    began = time.process_time()

    with pytest.raises(RejectedError):
        READER.read(body)

    assert time.process_time() - began < 2.0, (
        "rejection takes milliseconds; expanding the body takes minutes"
    )


@pytest.mark.parametrize(
    "target",
    ["/data/staging/ccforwarder/2026-11-22/", "/", "/a", "/data/staging-2/cc_forwarder/v1.0/x"],
)
def test_plain_absolute_target_dir_is_accepted(target: str) -> None:
    assert check(target) == target


@pytest.mark.parametrize(
    "target",
    [
        "",
        "relative/path",
        "~/data",
        "/data; rm -rf /",
        "/data$(reboot)",
        "/data`reboot`",
        "/data && reboot",
        "/data | sh",
        "/data > /etc/passwd",
        "/data\nreboot",
        "/data/\n",
        "/data 2",
        "/data/'x'",
        '/data/"x"',
        "/data/*",
        "/data/../../etc",
        "/..",
        "/data/..",
        "-oProxyCommand=reboot",
        "user@host:/data",
        "/data\x00",
        "/dätä",
        "/data\u2028",
        "/\u0661",
        "/" + "x" * 5000,
    ],
)
def test_hostile_target_dir_is_rejected(target: str) -> None:
    with pytest.raises(RejectedError, match="TARGET_DIR"):
        check(target)


patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=150)
"""No deadline for an example: on a busy machine each one may take long."""


def read_or_reject(body: bytes) -> None:
    try:
        message = READER.read(body)
    except RejectedError:
        pass
    else:
        assert isinstance(message, Incoming)
        assert message.MSG_TYPE in RECEIVED


@patient
@given(st.binary(max_size=300))
def test_random_bytes_are_a_message_or_rejected(body: bytes) -> None:
    read_or_reject(body)


@patient
@given(st.text(alphabet="{}[]:,-?&*!|>'\"%@`# \n\tab0~<=.", max_size=80))
def test_random_yaml_punctuation_is_a_message_or_rejected(text: str) -> None:
    read_or_reject(text.encode())


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.dates()
    | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELD_NAMES = sorted({name for body in GOOD for name in yaml.safe_load(body)})


@patient
@given(
    st.sampled_from(RECEIVED), st.dictionaries(st.sampled_from(FIELD_NAMES), VALUES), st.booleans()
)
def test_a_known_message_with_any_values_is_a_message_or_rejected(
    kind: str,
    fields: dict[str, object],
    flow: bool,  # noqa: FBT001  hypothesis passes it by position
) -> None:
    body: str = yaml.safe_dump(
        {**fields, "MSG_TYPE": kind}, default_flow_style=flow, allow_unicode=True
    )
    read_or_reject(body.encode("utf-8", "surrogatepass"))


@patient
@given(
    st.sampled_from(GOOD),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 4), st.binary(max_size=4)), max_size=4),
)
def test_a_damaged_message_is_a_message_or_rejected(
    body: bytes, damage: list[tuple[int, int, bytes]]
) -> None:
    for at, cut, put in damage:
        body = body[:at] + put + body[at + cut :]

    read_or_reject(body)
