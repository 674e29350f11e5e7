"""The values of DDS variables: the same for the archiver and for the stand-in for OpenSplice."""

from __future__ import annotations

import pytest
from ts_dds_cyclone import settings

from ccarchiver_core.config import dds_environment
from ccarchiver_core.config.dds_environment import DOMAIN, OWNERSHIP, PARTITION, PEER

GOOD = {PARTITION: "summit"}


def test_values_are_those_of_the_stand_in() -> None:
    assert dds_environment.PEERS == (settings.CYCLONE, settings.OPENSPLICE)
    assert tuple(member.value for member in settings.Ownership) == dds_environment.OWNERSHIPS
    assert dds_environment.MAX_DOMAIN == settings.MAX_DOMAIN_ID


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {PEER: "", OWNERSHIP: " ", DOMAIN: ""},
        {PEER: "OpenSplice"},
        {PEER: "opensplice", OWNERSHIP: "EXCLUSIVE", DOMAIN: "230"},
    ],
)
def test_values_in_force_are_those_of_the_stand_in(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (PEER, OWNERSHIP, DOMAIN):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    is_mixed = dds_environment.peer(variables) == dds_environment.OPENSPLICE

    assert list(dds_environment.problems(GOOD | variables)) == []
    assert is_mixed == settings.is_mixed_bus()
    assert dds_environment.ownership(variables) == settings.ownership().value


def test_every_problem_is_listed() -> None:
    wrong = {DOMAIN: "231", OWNERSHIP: "mine", PEER: "rti"}

    assert list(dds_environment.problems(wrong)) == [
        f"{PARTITION} is not set: SAL does not start without it",
        f"{DOMAIN} is '231', not a number from 0 to 230",
        f"{OWNERSHIP} is 'mine', none of shared, ackcmd, exclusive",
        f"{PEER} is 'rti', neither cyclone nor opensplice",
    ]
