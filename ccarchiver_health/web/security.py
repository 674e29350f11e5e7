"""Checks of every request, and security headers of every response."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

    from ccarchiver_core.config.settings import Settings

METHODS = ("GET", "HEAD")

WRITE_LIMIT_S = 10.0
"""Seconds after which a visitor that reads nothing is disconnected. A browser reconnects."""

HEADERS = {
    # No content of other sites, no inline script or style, no frame around the page, no form.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src "
        "'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",  # an old state must never look like a current one
    "Server": "ccarchiver",
}

_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<name>[^:\[\]]+))(?::\d+)?", re.ASCII)

_log = structlog.get_logger(__name__)


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Set the security headers of a response, which may be an error."""
    response.headers.update(HEADERS)


def is_valid_host(host: str, own_names: frozenset[str]) -> bool:
    """Return whether a Host header is a valid name of this server.

    With DNS rebinding, a page of another site resolves its own name to this machine. The request
    then has that name in its Host header. An address or ``localhost`` cannot be such a name; the
    port is ignored, because a tunnel may use any.
    """
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    try:
        ipaddress.ip_address(found["v6"] or found["name"])
    except ValueError:
        return found["name"] is not None and found["name"].lower() in own_names
    return True


def own_names(settings: Settings) -> frozenset[str]:
    """Return the host names, apart from addresses, that a request may contain."""
    own = {"localhost", settings.status_host, socket.gethostname(), *settings.status_names}
    return frozenset(name.lower() for name in own)


def make_request_check(settings: Settings) -> Middleware:
    """Return the middleware that checks every request.

    It rejects a wrong Host header, a method that is not read-only, and a background request of
    another site. An error in a handler becomes a response with status 500. It sends the response
    itself: aiohttp would wait without a limit for a visitor that reads nothing.
    """
    names = own_names(settings)

    @web.middleware
    async def check_and_send(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await answer_to(request, handler)
        await _send(request, response)
        return response

    async def answer_to(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_valid_host(request.headers.get("Host", ""), names):
            return _error_response(
                421, "wrong host name; use an address or localhost, or add the name to STATUS_NAMES"
            )
        if request.method not in METHODS:
            response = _error_response(
                405, "this page is read-only; use the commands command_ccarchiver and ccarchiver"
            )
            response.headers["Allow"] = ", ".join(METHODS)
            return response
        if _is_cross_site(request):
            return _error_response(403, "this request comes from a page of another site")
        try:
            return await handler(request)
        except web.HTTPException as answer:
            return _error_response(answer.status, answer.reason, answer.headers.get("Allow", ""))
        except Exception as error:  # noqa: BLE001 - no error of the page may stop the worker
            if request.transport is not None and not request.transport.is_closing():
                _log.warning(
                    "page.request_failed",
                    exc_info=error,
                    path=request.path,
                    effect="one request failed; the worker is not affected",
                )
            # If the visitor has left, aiohttp drops the response.
            return _error_response(
                500, "the request failed; the log of ccarchiver:health has the reason"
            )

    return check_and_send


async def _send(request: web.Request, response: web.StreamResponse) -> None:
    """Send a response; disconnect a visitor that has left or does not read it."""
    try:
        async with asyncio.timeout(WRITE_LIMIT_S):
            await response.prepare(request)
            await response.write_eof()
    except (ConnectionError, TimeoutError) as error:
        _log.debug("page.client_gone", error=repr(error))
        if request.transport is not None:
            request.transport.abort()


def _is_cross_site(request: web.Request) -> bool:
    """Return whether a page of another site sends this in the background; links are allowed."""
    is_cross_site = request.headers.get("Sec-Fetch-Site") == "cross-site"
    return is_cross_site and request.headers.get("Sec-Fetch-Mode") != "navigate"


def _error_response(status: int, text: str, allow: str = "") -> web.Response:
    headers = {"Allow": allow} if allow else None
    return web.Response(status=status, text=f"{text}\n", headers=headers)
