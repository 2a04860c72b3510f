"""Who may see and use the page: this machine only, or whoever has the token."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from vla3d_ros.errors import ConfigError

TOKEN_VARIABLE = "VLA3D_CONSOLE_TOKEN"
_SHORTEST_TOKEN = 16


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Doorkeeper:
    """Judges requests by their headers and query.

    On the loopback, only requests for a loopback address from a page of ours are served, so that no other website in
    the operator's browser can press a button. Elsewhere, every request needs the token.
    """

    def __init__(self, host: str, token: str) -> None:
        """Take where the page is served.

        Raises:
            ConfigError: If that would let anybody in.
        """
        if not is_loopback(host) and len(token) < _SHORTEST_TOKEN:
            got = "none" if not token else f"{len(token)} characters"
            raise ConfigError(
                f"the console would be served to the network on '{host}': that needs a token of {_SHORTEST_TOKEN} "
                f"characters or more, got {got}; set {TOKEN_VARIABLE}, or serve it on 127.0.0.1 and go there by "
                "'ssh -L 8080:127.0.0.1:8080 <this machine>'"
            )
        self._token = token

    def refusal(self, headers: Mapping[str, str], query: str) -> str:
        """Return why a request is refused; empty if it is not."""
        host, origin = headers.get("Host", ""), headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return "this page may only be used from its own address"
        if self._token:
            given = parse_qs(query).get("token", [""])[0]
            is_right = hmac.compare_digest(given.encode(), self._token.encode())
            return "" if is_right else "this page needs its token: open the address that vla3d console printed"
        named = urlsplit(f"//{host}").hostname or ""
        return "" if is_loopback(named) else "this page is served to this machine only"
