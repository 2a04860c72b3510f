"""The page's server and its messages, without a browser."""

import http.client
import json
import time

import pytest
from teleop_hands import settings_of

from vla3d_ros.errors import ConfigError, ShapeError
from vla3d_ros.page_access import is_loopback
from vla3d_ros.teleop.devices.browser import BrowserPage, read_page_message
from vla3d_ros.teleop.devices.browser_server import PageServer

client = pytest.importorskip("websockets.sync.client", reason="websockets is not installed")
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402

TOKEN = "0123456789abcdef-token"
MESSAGE = {"twist": [1.0, 0, 0, 0, 0, 0], "clutch": True, "presses": []}
PATIENCE_S = 5.0


def until(is_done) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_done():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def page():
    page = BrowserPage(PageServer("127.0.0.1", 0), time.monotonic)
    page.open()
    yield page
    page.close()


@pytest.fixture
def guarded():
    page = BrowserPage(PageServer("127.0.0.1", 0, TOKEN), time.monotonic)
    page.open()
    yield page
    page.close()


def connected(page: BrowserPage, query: str = "", **options):
    return client.connect(f"{page.url.replace('http', 'ws')}ws{query}", **options)


def fetched(page: BrowserPage, path: str = "/", **headers: str) -> tuple[int, str]:
    port = int(page.url.split(":")[2].strip("/"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def age_s(page: BrowserPage) -> float:
    return page.poll(time.monotonic()).hands[0].age_s


def test_what_a_page_says_is_what_the_hand_asks_for(page):
    with connected(page) as socket:
        socket.send(json.dumps({**MESSAGE, "presses": ["gripper", "stop"]}))
        until(lambda: age_s(page) < 1.0)
        state = page.poll(time.monotonic())
        assert state.hands[0].clutch and state.hands[0].twist[0] == 1.0


def test_presses_are_handed_on_once(page):
    with connected(page) as socket:
        socket.send(json.dumps({**MESSAGE, "presses": ["gripper", "stop"]}))
        seen: list[str] = []
        until(lambda: seen.extend(page.poll(time.monotonic()).presses) or seen)
        socket.send(json.dumps(MESSAGE))
        time.sleep(0.2)
        seen.extend(page.poll(time.monotonic()).presses)
        assert seen == ["gripper", "stop"]


def test_a_page_that_leaves_or_falls_silent_is_lost(page):
    with connected(page) as socket:
        socket.send(json.dumps(MESSAGE))
        until(lambda: age_s(page) < 1.0)
        now_s = time.monotonic()
        assert page.poll(now_s + 2.0).hands[0].age_s >= 2.0
    until(lambda: age_s(page) == float("inf"))
    assert not page.poll(time.monotonic()).hands[0].clutch


def test_the_page_is_told_what_is_going_on(page):
    page.show({"message": "holding"})
    with connected(page) as socket:
        assert json.loads(socket.recv(timeout=PATIENCE_S)) == {"message": "holding"}


def test_a_second_page_is_turned_away_until_the_first_is_silent(page):
    with connected(page) as first:
        first.send(json.dumps(MESSAGE))
        until(lambda: age_s(page) < 1.0)
        with connected(page) as second, pytest.raises(ConnectionClosed, match="another page is in control"):
            second.recv(timeout=PATIENCE_S)
        time.sleep(1.1)
        with connected(page) as third:
            third.send(json.dumps({**MESSAGE, "twist": [0, 1.0, 0, 0, 0, 0]}))
            until(lambda: page.poll(time.monotonic()).hands[0].twist[1] == 1.0)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "[" * 3000, json.dumps({**MESSAGE, "twist": [1.0]}),
        json.dumps({**MESSAGE, "clutch": 1}),
        json.dumps({**MESSAGE, "twist": [float("nan")] * 6}), json.dumps({**MESSAGE, "twist": [True] * 6}),
        json.dumps({**MESSAGE, "presses": ["format_disk"]}), json.dumps({**MESSAGE, "presses": [["stop"]]}),
        json.dumps({**MESSAGE, "more": 1}), json.dumps({**MESSAGE, "twist": "forward"}), b"\xff\xfe",
    ],
)  # fmt: skip
def test_nonsense_from_a_page_is_refused(text):
    with pytest.raises(ShapeError, match="the page sent"):
        read_page_message(text)


def test_nonsense_silences_the_hand_and_a_good_message_heals_it(page):
    with connected(page) as socket:
        socket.send("nonsense")
        until(lambda: page.poll(time.monotonic()).trouble)
        socket.send(json.dumps(MESSAGE))
        until(lambda: not page.poll(time.monotonic()).trouble and age_s(page) < 1.0)


def test_a_deflection_beyond_full_is_full():
    hand, _ = read_page_message(json.dumps({**MESSAGE, "twist": [7, -9, 0, 0, 0, 0]}))
    assert hand.twist.tolist()[:2] == [1.0, -1.0]


def test_the_page_is_html_and_nothing_else_is_there(page):
    status, text = fetched(page)
    assert status == 200 and "<title>Teleoperation</title>" in text
    assert fetched(page, "/etc/passwd")[0] == fetched(page, "/../settings.py")[0] == 404


def test_another_website_in_the_operators_browser_can_not_drive(page):
    with (
        pytest.raises(InvalidStatus, match="403"),
        connected(page, additional_headers={"Origin": "https://evil.example"}),
    ):
        pass
    assert fetched(page, Host="evil.example")[0] == 403


def test_with_a_token_nothing_is_served_without_it(guarded):
    assert fetched(guarded)[0] == fetched(guarded, "/?token=wrong")[0] == 403
    assert fetched(guarded, f"/?token={TOKEN}")[0] == 200
    with pytest.raises(InvalidStatus, match="403"), connected(guarded):
        pass
    with connected(guarded, f"?token={TOKEN}") as socket:
        socket.send(json.dumps(MESSAGE))
        until(lambda: age_s(guarded) < 1.0)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "robot.lan", ""])
def test_the_network_is_not_served_without_a_token(host):
    with pytest.raises(ConfigError, match="needs a token of 16 characters or more, got none"):
        PageServer(host, 0)
    PageServer(host, 0, TOKEN)


def test_a_port_that_is_taken_is_named(page):
    port = int(page.url.split(":")[2].strip("/"))
    with pytest.raises(ConfigError, match=f"can not listen on 127.0.0.1:{port}"):
        BrowserPage(PageServer("127.0.0.1", port), time.monotonic).open()


def test_the_shipped_file_serves_this_machine_only():
    assert is_loopback(settings_of("browser").options["host"])
