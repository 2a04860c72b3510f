"""The door, the line for STOP, and that no tab waits for another: without ROS, over real sockets."""

import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

pytest.importorskip("websockets.sync.client", reason="websockets is not installed")

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from vla3d_ros.console.server import ConsoleServer
from vla3d_ros.errors import ConfigError

TOKEN = "a-token-long-enough"
WALL_LIMIT_S = 20.0


def wait(is_done, what):
    deadline = time.monotonic() + WALL_LIMIT_S
    while not is_done():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


@pytest.fixture
def server() -> Iterator[ConsoleServer]:
    server = ConsoleServer("127.0.0.1", 0, "", None)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def guarded() -> Iterator[ConsoleServer]:
    server = ConsoleServer("127.0.0.1", 0, TOKEN, None)
    server.start()
    yield server
    server.stop()


def line(server, path, query="", **options):
    return connect(f"{server.url.replace('http', 'ws')}{path}{query}", **options)


def get(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        return answer.status, answer.read().decode(), answer.headers


def refused(url, **headers):
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(url, **headers)
    return caught.value.code, caught.value.read().decode()


def test_the_page_is_served_with_its_parts_and_nothing_else(server):
    status, text, headers = get(server.url)
    assert status == 200 and "keep the hardware button at hand" in text
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    for part in ("console.css", "link.js", "robot.js", "trial.js", "console.js"):
        assert get(server.url + part)[0] == 200
        assert part in text
    assert refused(server.url + "../node.py")[0] == 404
    assert refused(server.url + "view/")[0] == 404


def test_with_a_token_the_page_every_line_and_the_view_ask_for_it(guarded):
    assert refused(guarded.url)[0] == 403
    assert refused(guarded.url + "view/?token=wrong")[0] == 403
    assert "VIEW_KEY" not in get(f"{guarded.url}?token={TOKEN}")[1]
    for path in ("stop", "ws", "pictures", "view"):
        with pytest.raises(InvalidStatus):
            line(guarded, path)
    assert get(f"{guarded.url}?token={TOKEN}")[0] == 200
    with line(guarded, "stop", f"?token={TOKEN}") as tab:
        tab.send("stop")
        assert tab.recv(timeout=WALL_LIMIT_S) == "heard"


def test_another_website_can_not_press_buttons(server):
    with pytest.raises(InvalidStatus):
        line(server, "stop", origin="http://evil.example")


def test_stop_comes_from_every_tab_and_is_answered(server):
    stops = []
    server.on_stop = lambda: stops.append(threading.current_thread().name)
    with line(server, "stop") as first, line(server, "stop") as second:
        for tab in (first, second):
            tab.send("stop")
            assert tab.recv(timeout=WALL_LIMIT_S) == "heard"
        first.send("")
        assert first.recv(timeout=WALL_LIMIT_S) == ""
    assert len(stops) == 2 and stops[0] != stops[1]


def test_stop_does_not_wait_for_a_button_that_hangs_nor_for_a_tab_that_reads_nothing(server):
    release, stops, pressed = threading.Event(), [], threading.Event()

    def hang(_):
        pressed.set()
        release.wait(WALL_LIMIT_S)

    server.on_message, server.on_stop = hang, lambda: stops.append(1)
    server.tell(json.dumps({"big": "x" * 2_000_000}))
    with line(server, "ws") as talk, line(server, "ws", max_size=None) as deaf, line(server, "stop") as stop:
        talk.send('{"do": "home"}')
        assert pressed.wait(WALL_LIMIT_S)
        stop.send("stop")
        assert stop.recv(timeout=WALL_LIMIT_S) == "heard"
        assert stops == [1] and not release.is_set()
        release.set()
        deaf.close()


def test_the_state_is_told_again_and_again_to_all_tabs(server):
    server.tell('{"mode": "armed"}')
    with line(server, "ws") as first, line(server, "ws") as second:
        assert json.loads(first.recv(timeout=WALL_LIMIT_S)) == {"mode": "armed"}
        server.tell('{"mode": "stopped"}')
        wait(lambda: json.loads(second.recv(timeout=WALL_LIMIT_S))["mode"] == "stopped", "the new state")


def test_pictures_wait_until_the_tab_has_drawn_and_skip_what_is_old(server):
    server.show("head", b"one")
    with line(server, "pictures") as tab:
        assert tab.recv(timeout=WALL_LIMIT_S) == b"\x04headone"
        for number in range(5):
            server.show("head", b"old%d" % number)
        server.show("head", b"new")
        tab.send("drawn")
        assert tab.recv(timeout=WALL_LIMIT_S) == b"\x04headnew"


def test_a_line_that_does_not_exist_is_closed(server):
    with line(server, "elsewhere") as tab, pytest.raises(ConnectionClosed):
        tab.recv(timeout=WALL_LIMIT_S)


def test_a_taken_port_is_said(server):
    port = int(server.url.rstrip("/").rpartition(":")[2])
    with pytest.raises(ConfigError, match="choose another port"):
        ConsoleServer("127.0.0.1", port, "", None).start()


def test_the_3d_view_is_passed_to_whom_the_page_gave_its_key():
    from websockets.sync.server import serve

    def echo(tab):
        for message in tab:
            tab.send(message)

    def page(connection, request):
        return None if "Upgrade" in request.headers else connection.respond(200, f"file {request.path}")

    with serve(echo, "127.0.0.1", 0, process_request=page) as view:
        threading.Thread(target=view.serve_forever, daemon=True).start()
        server = ConsoleServer("127.0.0.1", 0, TOKEN, view.socket.getsockname()[1])
        server.start()
        key = re.search(r'data-key="([^"]+)"', get(f"{server.url}?token={TOKEN}")[1])[1]
        assert refused(f"{server.url}view/?token={TOKEN}")[0] == 403
        assert refused(f"{server.url}view/?key=other")[0] == 403
        assert get(f"{server.url}view/?key={key}")[1] == "file /"
        with pytest.raises(InvalidStatus):
            line(server, "view", f"?token={TOKEN}")
        with line(server, "view", f"?key={key}", origin="null") as tab:
            tab.send(b"pixels")
            assert tab.recv(timeout=WALL_LIMIT_S) == b"pixels"
        server.stop()
        view.shutdown()
