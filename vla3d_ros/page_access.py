"""Who may see and use a page that moves a robot: this machine only, or whoever has the page's token."""

from __future__ import annotations

import hmac
import ipaddress
import os
import secrets
from collections.abc import Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from vla3d_ros.errors import ConfigError

CONSOLE_TOKEN, TELEOP_TOKEN = "VLA3D_CONSOLE_TOKEN", "VLA3D_TELEOP_TOKEN"
"""Environment variables with the tokens: other users of a machine can read its command lines, but not these."""

_SHORTEST_TOKEN = 16
_OWN_FRAMES_ONLY = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def page_url(host: str, port: int) -> str:
    """Return the address of a page, without its token; addresses of IPv6 get their brackets."""
    named = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"http://{named}:{port}/"


def with_token(url: str, token: str) -> str:
    """Return the address to open: with the page's token, if it has one. For the operator, never for logs."""
    return f"{url}?token={quote(token, safe='')}" if token else url


def provide_token(variable: str, host: str, environment: MutableMapping[str, str] = os.environ) -> str:
    """Return a page's token and leave it where the page's process finds it.

    Args:
        variable: `CONSOLE_TOKEN` or `TELEOP_TOKEN`.
        host: Address of the page. On the loopback there is no token unless one is set; elsewhere a fresh one is made.
        environment: Of this process, which its children inherit.

    Raises:
        ConfigError: If the token that is set is too short for that address.
    """
    token = environment.get(variable, "") or ("" if is_loopback(host) else secrets.token_urlsafe(24))
    PageAccess(host, token, variable)
    environment[variable] = token
    return token


def page_headers(kind: str, policy: str) -> dict[str, str]:
    """Return the headers of everything that a page is made of.

    Args:
        kind: Content type.
        policy: Content security policy: what the page may load. That no other website may show it inside its own,
            where a click could be led to a button of ours, is added here.
    """
    return {
        "Content-Type": f"{kind}; charset=utf-8",
        "Content-Security-Policy": f"{policy}; {_OWN_FRAMES_ONLY}",
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


def set_headers(response: Any, headers: Mapping[str, str]) -> None:
    """Give a response of websockets these headers, in place of those that it has."""
    for name, value in headers.items():
        if name in response.headers:
            del response.headers[name]
        response.headers[name] = value


class PageAccess:
    """Judges requests by their headers and query, those that open websockets included.

    On the loopback, only requests for a loopback address (a name that somebody lets point there is not one) from a page
    of ours are served, so that no other website in the operator's browser can press a button. Elsewhere, every request
    needs the token.
    """

    def __init__(self, host: str, token: str, variable: str) -> None:
        """Take where the page is served.

        Args:
            host: Address to listen on.
            token: Empty for none.
            variable: Where a token is taken from, for the error.

        Raises:
            ConfigError: If that would let anybody in.
        """
        if not is_loopback(host) and len(token) < _SHORTEST_TOKEN:
            got = "none" if not token else f"{len(token)} characters"
            raise ConfigError(
                f"the page would be served to the network on '{host}': that needs a token of {_SHORTEST_TOKEN} "
                f"characters or more, got {got}; set {variable}, or serve the page on 127.0.0.1 and go there by "
                "'ssh -L 8080:127.0.0.1:8080 <this machine>' (with the page's port)"
            )
        self._token = token

    def refusal(self, headers: Mapping[str, str], query: str) -> str:
        """Return why a request is refused; empty if it is not.

        Args:
            headers: Of the request; names are looked up as they are written here.
            query: What follows the question mark of the request's path.
        """
        try:
            host, origin = headers.get("Host", ""), headers.get("Origin")
            named = "" if "@" in host else urlsplit(f"//{host}").hostname or ""
            foreign = origin is not None and urlsplit(origin).netloc != host
        except (LookupError, ValueError):  # a header that is there twice, or is no address
            return "this request does not say where it comes from and goes to"
        if foreign:
            return "this page may only be used from its own address"
        if self._token:
            given = parse_qs(query).get("token", [""])[0]
            is_right = hmac.compare_digest(given.encode(), self._token.encode(errors="surrogateescape"))
            return "" if is_right else "this page needs its token: open the address that vla3d printed"
        return "" if is_loopback(named) else "this page is served to this machine only"
