"""A site for the doctor's checks, and helpers that read their findings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ccarchiver_cli.doctor.finding import Finding, Level
from ccarchiver_cli.doctor.site import Site
from ccarchiver_core.config.settings import Settings
from ccarchiver_sim import pace
from ccarchiver_sim.testbed.brokers.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from ccarchiver_cli.doctor.runner import Check
    from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis


def site_of(
    redis: PrivateRedis | None = None,
    rabbit: PrivateRabbit | None = None,
    vhost: str | None = None,
    **changes: object,
) -> Site:
    """Return a site with these brokers."""
    keys: dict[str, object] = {}
    if redis is not None:
        keys |= {"REDIS_HOST": LOOPBACK, "REDIS_PORT": redis.port}
    if rabbit is not None:
        keys |= {"BASE_BROKER_ADDR": rabbit.address_of(vhost or rabbit.vhosts[0])}
    return Site(Settings.model_validate(keys | changes))


def run_check(check: Callable[[Site], Iterable[Finding]], site: Site) -> list[Finding]:
    """Run a check and return its findings."""
    return list(check(site))


def with_scaled_limits(checks: Iterable[Check], names: str | tuple[str, ...]) -> list[Check]:
    """Return the checks with this name prefix, with limits scaled to this machine."""
    return [
        replace(one, limit=pace.scaled(one.limit)) for one in checks if one.name.startswith(names)
    ]


def only(findings: Iterable[Finding]) -> Finding:
    """Return the only finding."""
    [finding] = findings
    return finding


def bad(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that are not ok."""
    return [finding for finding in findings if finding.level is not Level.OK]


def write_credentials(folder: Path, user: str, password: str) -> Path:
    """Write a credentials file with the required modes."""
    folder.mkdir(mode=0o700)
    path = folder / "iip_cred.yaml"
    path.touch(mode=0o600)
    path.write_text(
        f"rabbitmq_users: {{service_user: {user}, service_passwd: {password}}}\n", encoding="utf-8"
    )
    return path
