"""The metrics of a scrape, rendered from a real Redis and read by Prometheus' parser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from ccarchiver_health.metrics import render
from tests.support.promtool import check_metrics

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ccarchiver_core.config.settings import Settings

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Exposition:
    """One scrape."""

    body: bytes
    kinds: dict[str, str]
    """Type of each family."""
    samples: dict[tuple[str, Labels], float]

    def value(self, name: str, **labels: str) -> float:
        """Return one sample, named without the prefix."""
        return self.samples[f"ccarchiver_{name}", frozenset(labels.items())]

    def labelled(self, name: str, label: str) -> dict[str, float]:
        """Return a metric's samples by the value of a label."""
        return {
            dict(labels)[label]: value
            for (it, labels), value in self.samples.items()
            if it == f"ccarchiver_{name}"
        }

    @property
    def names(self) -> set[str]:
        """Names of all samples."""
        return {name for name, _ in self.samples}

    @property
    def cumulative(self) -> dict[tuple[str, Labels], float]:
        """The samples that never decrease."""
        endings = ("_total", "_bucket", "_count", "_sum")
        return {key: value for key, value in self.samples.items() if key[0].endswith(endings)}


async def scrape(redis: Redis, settings: Settings) -> Exposition:
    """Render the metrics, check them with ``promtool`` and parse them."""
    body, content_type = await render(redis, settings)
    assert content_type.startswith("text/plain")
    check_metrics(body)
    return parse(body)


def parse(body: bytes) -> Exposition:
    """Parse an exposition; a duplicate sample is an error."""
    kinds: dict[str, str] = {}
    samples: dict[tuple[str, Labels], float] = {}
    for family in text_string_to_metric_families(body.decode()):
        assert family.name not in kinds, family.name
        kinds[family.name] = family.type
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples, key
            samples[key] = sample.value
    return Exposition(body, kinds, samples)
