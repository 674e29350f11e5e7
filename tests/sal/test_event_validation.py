"""Events from SAL are validated before they are recorded."""

from __future__ import annotations

import pytest

from ccarchiver_core.domain.exposure import EndReadout, HeaderReady
from ccarchiver_sal.event_validation import validate

GOOD_URL = "http://127.0.0.1:8000/CCHeaderService_header_CC_O_20261122_000001.yaml"


BAD = " \n\0;|*'\"`\\<>&:%"


def of_image(name: str) -> str:
    return validate(name, EndReadout(image_name=name, image_index=0, images_in_sequence=1))


def of_url(url: str) -> str:
    return validate("CC_O_20261122_000001", HeaderReady(url=url))


@pytest.mark.parametrize(
    "name", ["CC_O_20261122_000001", "AT_O_20261122_000001", "i", "rehearsal-1.b", "n" * 64]
)
def test_plain_image_name_is_accepted(name: str) -> None:
    assert of_image(name) == ""


@pytest.mark.parametrize(
    "name",
    [
        "../up",
        "a..b",
        "/etc/passwd",
        ".hidden",
        "-rf",
        "$(reboot)",
        "a\x1b[2J",
        "é",
        "n" * 65,
        *(f"a{c}b" for c in BAD),
    ],
)
def test_any_other_image_name_is_rejected(name: str) -> None:
    assert "is rejected" in of_image(name)
    assert of_image(name).isprintable()


def test_empty_image_name_is_rejected() -> None:
    assert of_image("") == "endReadout without an image name"


@pytest.mark.parametrize(
    "url",
    [
        GOOD_URL,
        "https://s3.example.org/bucket/ATHeaderService/header/2026/11/22/x.yaml?versionId=1&part=a%20b",
        "http://ccheader/x",
        "http://[::1]:8000/x.yaml",
    ],
)
def test_plain_header_url_is_accepted(url: str) -> None:
    assert of_url(url) == ""


@pytest.mark.parametrize(
    "url",
    [
        "",
        "file:///etc/passwd",
        "ftp://host/x",
        "http:/host/x",
        "//host/x",
        "http://host",
        "http://user:word@host/x",
        "http://host/../x",
        "http://host/$(reboot)",
        "http://host/`x`",
        "http://host/a;b",
        "http://host/a b",
        "http://host/a'b",
        'http://host/a"b',
        "http://host/a\nb",
        "http://host/a|b",
        "http://host/a\\b",
        "http://host/a#b",
        "-o/tmp/x http://host/x",
        f"http://host/{'x' * 256}",
    ],
)
def test_any_other_header_url_is_rejected_and_not_repeated(url: str) -> None:
    """The error does not repeat the URL, because it may contain a password."""
    problem = of_url(url)
    assert "is rejected" in problem
    assert not url or url not in problem
