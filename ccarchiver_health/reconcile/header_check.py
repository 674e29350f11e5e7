"""Address of the header of a missed image, from HEADER_URL_TEMPLATE."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ccarchiver_core.domain.image_name import day_of

if TYPE_CHECKING:
    from ccarchiver_core.config.settings import Settings

LIMIT_S = 5.0
"""Time limit of the request; a header service answers within a tenth of a second."""

FOUND = 200
"""HTTP status of an existing header."""

_log = structlog.get_logger(__name__)


async def find_header(settings: Settings, obsid: str) -> str:
    """Return the address of an image's header if one HTTP request finds it, otherwise empty."""
    if not settings.header_url_template:
        return ""
    # Imported here, because few images are missed, and it needs 7 MB.
    import aiohttp  # noqa: PLC0415  see above

    day = day_of(obsid)
    url = settings.header_url_template.format(
        obsid=obsid, day_obs="" if day is None else f"{day:%Y%m%d}"
    )
    try:
        timeout = aiohttp.ClientTimeout(total=LIMIT_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as client,
            client.get(url, allow_redirects=False) as response,
        ):
            problem = "" if response.status == FOUND else f"HTTP status {response.status}"
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        problem = str(error) or type(error).__name__
    if not problem:
        return url
    _log.warning(
        "header.missing",
        image=obsid,
        url=url,
        reason=problem,
        effect="the image is archived without a header, unless it is announced",
    )
    return ""
