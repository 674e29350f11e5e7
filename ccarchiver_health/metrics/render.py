"""Rendering of one exposition as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from typing_extensions import override

from ccarchiver_health.metrics.families import families_of
from ccarchiver_health.metrics.reading import read

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.metrics_core import Metric
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings
    from ccarchiver_health.metrics.reading import Reading


class _Once(Collector):
    """Collector of the metric families of one reading."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    @override
    def collect(self) -> Iterable[Metric]:
        return families_of(self._reading)


async def render(redis: Redis, settings: Settings) -> tuple[bytes, str]:
    """Return the metrics of all workers in the text format of Prometheus.

    Returns
    -------
    body, content_type
        Body and content type of the HTTP response. While Redis is unavailable,
        ``ccarchiver_redis_up`` is 0, and metrics that come from Redis are omitted: an old value
        would look like a current one.
    """
    reading = await read(redis, settings)
    # A separate registry: the default one adds metrics of the health process itself.
    registry = CollectorRegistry()
    registry.register(_Once(reading))
    return generate_latest(registry), CONTENT_TYPE_LATEST
