"""Error texts that are about encryption, and those that are not."""

from __future__ import annotations

import pytest

from ccarchiver_core.config.tls import is_of_tls


@pytest.mark.parametrize(
    "text",
    [
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",
        "SSL handshake is taking longer than 10 seconds",
        "SSLEOFError(8, 'EOF occurred in violation of protocol')",
    ],
)
def test_error_of_encryption_is_found(text: str) -> None:
    assert is_of_tls(text)


@pytest.mark.parametrize(
    "text",
    [
        "Timeout during AMQP handshake('127.0.0.1', 5672); ssl=False",
        "Connection refused",
    ],
)
def test_other_error_is_not_of_encryption(text: str) -> None:
    assert not is_of_tls(text)
