"""Download of an image's header file, and its keywords."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

import yaml

if TYPE_CHECKING:
    from pathlib import Path

FETCH_TIMEOUT_S: Final = 10.0
"""Limit for a header of a few kilobytes over the observatory's network."""

MAX_HEADER_BYTES: Final = 10_000_000
"""Size limit far above any header, so that a wrong address cannot fill the disk."""

SCHEMES: Final = ("http", "https")

KEYWORD_LENGTH: Final = 8
"""Maximum length of FITS keywords; longer ones need a convention that readers need not support."""

Value = str | int | float | bool

Keyword = tuple[str, Value, str]
"""A header line: keyword, value, comment."""


class HeaderError(Exception):
    """The header could not be fetched or read; the text names the reason."""


def fetch(url: str, target: Path) -> None:
    """Download a header over HTTP into a file of the Forwarder.

    Raises
    ------
    HeaderError
        If the header cannot be downloaded completely.
    """
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise HeaderError(f"cannot fetch header {url}: not an http address")
    try:
        with urllib.request.urlopen(url, timeout=FETCH_TIMEOUT_S) as answer:  # noqa: S310 - the scheme was checked
            content: bytes = answer.read(MAX_HEADER_BYTES + 1)
    except (OSError, ValueError) as error:
        # urllib.error.URLError is an OSError; urllib raises ValueError for malformed addresses.
        raise HeaderError(f"cannot fetch header {url}: {error}") from error
    if len(content) > MAX_HEADER_BYTES:
        raise HeaderError(f"cannot fetch header {url}: it has more than {MAX_HEADER_BYTES} bytes")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def read_keywords(path: Path) -> list[Keyword]:
    """Return the keywords of the primary header in a header file.

    Raises
    ------
    HeaderError
        If the file is not a header file.
    """
    try:
        document = yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
        entries = document["PRIMARY"]
        return [_keyword(entry) for entry in entries]
    except (OSError, yaml.YAMLError, ValueError, KeyError, TypeError) as error:
        raise HeaderError(
            f"header file {path.name} is not a list of keywords under PRIMARY: {error!r}"
        ) from error


def _keyword(entry: dict[str, object]) -> Keyword:
    keyword = str(entry["keyword"])
    value = entry["value"]
    if not keyword or len(keyword) > KEYWORD_LENGTH:
        raise ValueError(f"{keyword!r} is not a FITS keyword of one to {KEYWORD_LENGTH} characters")
    plain = value if isinstance(value, str | int | float | bool) else str(value)
    return (keyword, plain, str(entry.get("comment") or ""))


def file_name(image_id: str) -> str:
    """Return the file name of the Forwarder's copy of a header, safe for any image name."""
    return f"{quote(image_id, safe='')}.yaml"
