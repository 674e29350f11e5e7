from __future__ import annotations

from ccarchiver_health.web.snapshot import Verdict, snapshot_without_redis
from tests.core.redis_helpers import site


def test_snapshot_without_redis_still_has_what_the_site_file_says() -> None:
    settings = site(6379, STANDBY=True)

    snapshot = snapshot_without_redis(settings, ConnectionRefusedError(111, "Connection refused"))

    view = snapshot.overview
    assert (view.redis.answers, view.redis.error) == (
        False,
        "refused the connection (nothing listens there)",
    )
    assert (view.rabbitmq, view.has_second_host) == (settings.broker_text, True)
    assert snapshot.verdict is Verdict.CRITICAL
