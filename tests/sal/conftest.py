"""A DDS domain and a partition for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ccarchiver_sim.testbed.environment import sal_environment
from tests.middleware.settling import settle_at_the_machines_pace

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture(scope="session")
def domain() -> Mapping[str, str]:
    """One domain for all tests. Each test has its own partition in it."""
    return sal_environment()


@pytest.fixture(autouse=True)
def _sal(domain: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**domain, **sal_environment()}.items():
        if name in domain:
            monkeypatch.setenv(name, domain[name] if name.endswith("DOMAIN_ID") else value)
    settle_at_the_machines_pace(monkeypatch)
