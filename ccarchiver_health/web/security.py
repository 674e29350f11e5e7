"""Checks of every request, and security headers of every response."""

from __future__ import annotations

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


def may_be_asked_as(host: str, own_names: frozenset[str]) -> bool:
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
    return frozenset({"localhost", settings.status_host.lower(), socket.gethostname().lower()})


def make_guard(settings: Settings) -> Middleware:
    """Return the middleware that checks every request.

    It rejects a wrong Host header, a method that is not read-only, and a background request of
    another site. An error in a handler becomes a response with status 500.
    """
    names = own_names(settings)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not may_be_asked_as(request.headers.get("Host", ""), names):
            return _refusal(
                421, "wrong host name; use an address, localhost, or the name in STATUS_HOST"
            )
        if request.method not in METHODS:
            refusal = _refusal(
                405, "this page is read-only; use the commands command_ccarchiver and ccarchiver"
            )
            refusal.headers["Allow"] = ", ".join(METHODS)
            return refusal
        if _is_another_sites(request):
            return _refusal(403, "this request comes from a page of another site")
        try:
            return await handler(request)
        except web.HTTPException as answer:
            return _refusal(answer.status, answer.reason, answer.headers.get("Allow", ""))
        except (ConnectionError, TimeoutError):
            raise  # the browser has disconnected or reads nothing, so no response can be sent
        except Exception:  # noqa: BLE001 - no error of the page may stop the worker
            _log.exception(
                "page.request_failed",
                path=request.path,
                effect="one request failed; the worker is not affected",
            )
            return _refusal(500, "the request failed; the log of ccarchiver:health has the reason")

    return guard


def _is_another_sites(request: web.Request) -> bool:
    """Return whether a page of another site sends this in the background; links are allowed."""
    foreign = request.headers.get("Sec-Fetch-Site") == "cross-site"
    return foreign and request.headers.get("Sec-Fetch-Mode") != "navigate"


def _refusal(status: int, text: str, allow: str = "") -> web.Response:
    headers = {"Allow": allow} if allow else None
    return web.Response(status=status, text=f"{text}\n", headers=headers)
