"""What every request passes: who may ask, with which method, and what the answer's headers forbid a browser."""

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
    # Nothing from elsewhere, no inline script or style, no frame around it, no form.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",  # a state seen yesterday must never be shown as today's
    "Server": "ccarchiver",
}

_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<name>[^:\[\]]+))(?::\d+)?", re.ASCII)

_log = structlog.get_logger(__name__)


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Set the headers that every answer has, errors included."""
    response.headers.update(HEADERS)


def may_be_asked_as(host: str, own_names: frozenset[str]) -> bool:
    """Tell whether a Host header names this server as somebody would who means it.

    A page of another site that has had its own name resolved to this machine (DNS rebinding) comes with that name.
    An address or ``localhost``, with whatever port a tunnel has, cannot be such a name.
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
    """Names by which this server may be asked, beside any address."""
    return frozenset({"localhost", settings.status_host.lower(), socket.gethostname().lower()})


def make_guard(settings: Settings) -> Middleware:
    """Make the middleware that refuses what a reader does not send, and keeps a handler's crash to its request."""
    names = own_names(settings)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not may_be_asked_as(request.headers.get("Host", ""), names):
            return _refusal(421, "wrong host name; ask by address, as localhost, or by the name in STATUS_HOST")
        if request.method not in METHODS:
            refusal = _refusal(405, "this page only shows; change things with command_ccarchiver and ccarchiver")
            refusal.headers["Allow"] = ", ".join(METHODS)
            return refusal
        if _is_another_sites(request):
            return _refusal(403, "asked by a page of another site")
        try:
            return await handler(request)
        except web.HTTPException as answer:
            return _refusal(answer.status, answer.reason, answer.headers.get("Allow", ""))
        except (ConnectionError, TimeoutError):
            raise  # the browser has gone, or takes nothing: nobody is there for an answer
        except Exception:  # noqa: BLE001 - one answer fails, not the worker
            _log.exception("page.request_failed", path=request.path, effect="one answer is missing; the worker goes on")
            return _refusal(500, "the page could not answer this; the log of ccarchiver:health says why")

    return guard


def _is_another_sites(request: web.Request) -> bool:
    """Tell a request that a foreign page makes in the background from a link that a person follows."""
    foreign = request.headers.get("Sec-Fetch-Site") == "cross-site"
    return foreign and request.headers.get("Sec-Fetch-Mode") != "navigate"


def _refusal(status: int, text: str, allow: str = "") -> web.Response:
    headers = {"Allow": allow} if allow else None
    return web.Response(status=status, text=f"{text}\n", headers=headers)
