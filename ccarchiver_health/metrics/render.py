"""One exposition as text, for whoever asks by HTTP."""

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
    """Gives the families of one reading."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    @override
    def collect(self) -> Iterable[Metric]:
        return families_of(self._reading)


async def render(redis: Redis, settings: Settings) -> tuple[bytes, str]:
    """Read the metrics of all workers and write them as Prometheus reads them; safe to repeat.

    Returns
    -------
    body, content_type
        What to answer with. While Redis is away ``ccarchiver_redis_up`` is 0 in it, and what only Redis knows is left
        out: an old value would look like a good one.
    """
    reading = await read(redis, settings)
    registry = CollectorRegistry()  # of its own: the default one would add the metrics of the health process
    registry.register(_Once(reading))
    return generate_latest(registry), CONTENT_TYPE_LATEST
