"""Who may ask: checks of the Host header, of the token and of the Origin header.

- Host: a foreign web page could let its own host name point to this machine (DNS rebinding) and
  read the library. Its requests carry that name, so only known names are answered.
- Token: needed as soon as other machines can reach the service.
- Origin: a browser adds this header when a page sends a form. A page of another origin must not
  let its visitors send files.
"""

import hmac
from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from melgraph.assets.service.problems import Refusal, refusal_response

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
OPEN_ADDRESSES = ("/healthz",)  # need no token: a supervisor asks whether the service is alive
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def is_loopback(host: str) -> bool:
    """Whether an address or a name to listen at is reached from this machine only."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def host_of(netloc: str) -> str:
    """The host of `host:port`, lower case, without the brackets of an IPv6 address."""
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""


class AccessChecks:
    """The three checks, as ASGI middleware.

    Args:
        app: what answers the requests that pass.
        hosts: the names under which the service may be called.
        token: what `Authorization: Bearer` must hold; None if no token is needed.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], token: str | None = None) -> None:
        self._app, self._hosts = app, frozenset(hosts)
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":  # lifespan
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = (
            self._refusal_of_host(scope, headers)
            or self._refusal_of_token(scope, headers)
            or self._refusal_of_origin(scope, headers)
        )
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refusal_response(scope, refusal)(scope, receive, send)

    def _refusal_of_host(self, scope: Scope, headers: Headers) -> Refusal | None:
        host = host_of(headers.get("host", ""))
        # An address, unlike a name, cannot be made to point to another machine.
        own_address = str((scope.get("server") or ("",))[0])
        if host in self._hosts or (host and host == own_address):
            return None
        return Refusal(
            400,
            "foreign-host",
            f"this service is not called {host!r}",
            where="the header Host",
            remedy="call it by its address, or name this host: MELGRAPH_PAGES_URL, or "
            "melgraph serve --name HOST",
        )

    def _refusal_of_token(self, scope: Scope, headers: Headers) -> Refusal | None:
        if self._token is None or scope["path"] in OPEN_ADDRESSES:
            return None
        kind, _, token = headers.get("authorization", "").partition(" ")
        sent = token.strip().encode("latin-1", "replace")
        if kind.lower() == "bearer" and hmac.compare_digest(sent, self._token):
            return None
        what = "the token is wrong" if token else "this service needs a token"
        return Refusal(
            401,
            "no-token",
            what,
            where="the header Authorization",
            remedy="send the header `Authorization: Bearer TOKEN`, with the token of the service",
            headers={"WWW-Authenticate": 'Bearer realm="melgraph"'},
        )

    def _refusal_of_origin(self, scope: Scope, headers: Headers) -> Refusal | None:
        if scope["method"] in _SAFE_METHODS:
            return None
        origin = headers.get("origin")
        site = headers.get("sec-fetch-site", "same-origin")
        is_own = origin is None or urlsplit_netloc(origin) == headers.get("host", "").lower()
        if is_own and site in ("same-origin", "none"):
            return None
        return Refusal(
            403,
            "foreign-origin",
            f"a page of {origin or 'another site'} may not send files to this service",
            where="the header Origin",
            remedy="send the file from a program, or from a page of this service",
        )


def urlsplit_netloc(url: str) -> str:
    """`host:port` of a URL, lower case; empty if there is none, as in the origin `null`."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""
