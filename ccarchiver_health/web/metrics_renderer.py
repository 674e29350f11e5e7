"""The type of the function that renders the metrics for the status page's server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from ccarchiver_core.config.settings import Settings

MetricsRenderer = Callable[[Redis, Settings], Awaitable[tuple[bytes, str]]]
"""Returns the body and the content type of an exposition."""
