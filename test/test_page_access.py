"""Who gets in to the pages that move a robot: the console's and teleoperation's, through one and the same door."""

import http.client
import json
import logging
import threading
import time
import urllib.parse
from collections.abc import Iterator

import pytest

pytest.importorskip("websockets.sync.client", reason="websockets is not installed")

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from vla3d_ros import page_access
from vla3d_ros.console.server import ConsoleServer
from vla3d_ros.errors import ConfigError
from vla3d_ros.page_access import (
    CONSOLE_TOKEN,
    TELEOP_TOKEN,
    PageAccess,
    is_loopback,
    page_url,
    provide_token,
    with_token,
)  # fmt: skip
from vla3d_ros.teleop.devices.browser_server import PageServer

TOKEN = "a-token-long-enough"
WALL_LIMIT_S = 20.0
NETWORK = ["0.0.0.0", "192.168.1.5", "::", "robot-pc", ""]
LOOPBACK = ["127.0.0.1", "::1", "localhost"]


class Door:
    """One of the two servers, running."""

    def __init__(self, name: str, token: str = "") -> None:
        if name == "console":
            self._server = ConsoleServer("127.0.0.1", 0, token, None)
            self._server.start()
        else:
            self._server = PageServer("127.0.0.1", 0, token)
            self._server.start(lambda text: None, lambda: None)
        self.port = int(self._server.url.rstrip("/").rpartition(":")[2])

    def close(self) -> None:
        self._server.stop()

    def get(self, path: str = "/", **headers: str) -> tuple[int, str, dict[str, str]]:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WALL_LIMIT_S)
        link.request("GET", path, headers=headers)
        answer = link.getresponse()
        return answer.status, answer.read().decode(), dict(answer.headers)

    def line(self, query: str = "", **options):
        return connect(f"ws://127.0.0.1:{self.port}/ws{query}", **options)


@pytest.fixture(params=["console", "teleop"])
def door(request) -> Iterator[Door]:
    door = Door(request.param)
    yield door
    door.close()


@pytest.fixture(params=["console", "teleop"])
def guarded(request) -> Iterator[Door]:
    door = Door(request.param, TOKEN)
    yield door
    door.close()


def access(host="127.0.0.1", token=""):
    return PageAccess(host, token, CONSOLE_TOKEN)


@pytest.mark.parametrize("host", NETWORK)
def test_the_network_needs_a_token_and_the_refusal_names_variable_and_tunnel(host):
    with pytest.raises(ConfigError, match=r"token of 16 characters.*got 5 characters.*VLA3D_CONSOLE_TOKEN.*ssh -L"):
        access(host, "short")
    with pytest.raises(ConfigError, match="got none"):
        access(host, "")
    assert access(host, TOKEN).refusal({"Host": f"{host}:8080"}, "token=wrong")
    assert not access(host, TOKEN).refusal({"Host": f"{host}:8080"}, f"token={TOKEN}")


@pytest.mark.parametrize("host", LOOPBACK)
def test_the_loopback_needs_no_token(host):
    assert not access(host).refusal({"Host": page_url(host, 8080).split("/")[2]}, "")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "127.0.0.1.evil.example:8080", "localhost.evil.example", "127.0.0.1@evil.example",
        "evil.example@127.0.0.1", "192.168.1.5:8080", "", "[", "[::1", "0.0.0.0:8080",
    ],
)  # fmt: skip
def test_a_name_that_somebody_lets_point_to_the_loopback_is_not_the_loopback(host):
    assert access().refusal({"Host": host}, "")
    assert access().refusal({"Host": host, "Origin": f"http://{host}"}, "")


@pytest.mark.parametrize("origin", ["http://evil.example", "http://localhost:8081", "null", "", "http://["])
def test_a_page_of_another_website_is_refused_with_the_token_too(origin):
    ours = {"Host": "localhost:8080", "Origin": "http://localhost:8080"}
    assert not access().refusal(ours, "")
    assert access().refusal({**ours, "Origin": origin}, "")
    assert access("0.0.0.0", TOKEN).refusal({**ours, "Origin": origin}, f"token={TOKEN}")


def test_tokens_are_compared_in_constant_time(monkeypatch):
    compared = []

    def compare(given, right):
        compared.append((given, right))
        return given == right

    monkeypatch.setattr(page_access.hmac, "compare_digest", compare)
    door = access("0.0.0.0", TOKEN)
    assert door.refusal({"Host": "robot-pc"}, "token=wrong") and door.refusal({"Host": "robot-pc"}, "")
    assert not door.refusal({"Host": "robot-pc"}, f"token={TOKEN}")
    assert compared == [(given, TOKEN.encode()) for given in (b"wrong", b"", TOKEN.encode())]


@pytest.mark.parametrize("variable", [CONSOLE_TOKEN, TELEOP_TOKEN])
def test_a_token_is_made_for_the_network_left_for_the_page_s_process_and_none_for_the_loopback(variable):
    environment: dict[str, str] = {}
    assert provide_token(variable, "127.0.0.1", environment) == environment[variable] == ""
    made = provide_token(variable, "0.0.0.0", environment)
    assert len(made) >= 32 and environment[variable] == made
    assert provide_token(variable, "0.0.0.0", environment) == made != provide_token(variable, "0.0.0.0", {})
    with pytest.raises(ConfigError, match=variable):
        provide_token(variable, "0.0.0.0", {variable: "short"})


def test_an_address_carries_any_token_unharmed():
    token = "a+b&c=d %e#f/äöü"
    url = with_token(page_url("::1", 8080), token)
    assert url.startswith("http://[::1]:8080/?token=") and with_token("http://x/", "") == "http://x/"
    split = urllib.parse.urlsplit(url)
    assert not access("0.0.0.0", token).refusal({"Host": split.netloc}, split.query)
    assert is_loopback(split.hostname)


def test_another_website_is_turned_away_from_page_and_lines(door):
    assert door.get()[0] == 200
    assert door.get(Host="evil.example")[0] == door.get(Origin="http://evil.example")[0] == 403
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}):
        with pytest.raises(InvalidStatus, match="403"):
            door.line(additional_headers=headers)
    with door.line(additional_headers={"Origin": f"http://127.0.0.1:{door.port}"}) as ours:
        assert ours.recv(timeout=WALL_LIMIT_S)


def test_a_request_with_two_hosts_is_turned_away(door):
    link = http.client.HTTPConnection("127.0.0.1", door.port, timeout=WALL_LIMIT_S)
    link.putrequest("GET", "/", skip_host=True)
    link.putheader("Host", "127.0.0.1")
    link.putheader("Host", "evil.example")
    link.endheaders()
    assert link.getresponse().status == 403


def test_no_other_website_can_show_the_page_inside_its_own(door):
    headers = door.get()[2]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY" and headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store" and headers["Content-Type"] == "text/html; charset=utf-8"


def test_with_a_token_nothing_is_served_without_it(guarded):
    assert guarded.get()[0] == guarded.get("/?token=wrong")[0] == guarded.get("/?token=")[0] == 403
    assert guarded.get(f"/?token={TOKEN}")[0] == 200
    for query in ("", "?token=wrong"):
        with pytest.raises(InvalidStatus, match="403"):
            guarded.line(query)
    with guarded.line(f"?token={TOKEN}") as ours:
        assert ours.recv(timeout=WALL_LIMIT_S)


def test_tokens_right_or_wrong_are_never_logged_whatever_the_level(guarded, caplog):
    with caplog.at_level(logging.DEBUG):
        logging.getLogger().debug("the log hears this")
        guarded.get(f"/?token={TOKEN}")
        guarded.get("/?token=some-other-token")
        with guarded.line(f"?token={TOKEN}", logger=logging.getLogger("of.the.test.alone")) as ours:
            ours.recv(timeout=WALL_LIMIT_S)
    of_the_server = [record for record in caplog.records if record.name != "of.the.test.alone"]
    assert any("the log hears this" in record.getMessage() for record in of_the_server)
    assert not [record.getMessage() for record in of_the_server if "token" in json.dumps(record.getMessage())]


def test_nobody_who_is_turned_away_holds_a_thread(door):
    before = threading.active_count()
    for _ in range(5):
        with pytest.raises(InvalidStatus):
            door.line(origin="http://evil.example")
    deadline = time.monotonic() + WALL_LIMIT_S
    while threading.active_count() > before:
        assert time.monotonic() < deadline
        time.sleep(0.02)
