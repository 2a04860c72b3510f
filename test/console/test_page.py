"""The page in a real Chromium: what it shows of a trial, what its keys and buttons do, and STOP wherever one is."""

import itertools
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

pytest.importorskip("selenium", reason="selenium is not installed: pip install vla3d_ros[browser]")
pytest.importorskip("websockets.sync.client", reason="websockets is not installed")

from console_page import ENTER, ESCAPE, WALL_LIMIT_S, OperatorPage
from console_stage import Stage, trial_view
from websockets.sync.client import connect

from vla3d_ros.evaluation.desk import DeskPhase
from vla3d_ros.evaluation.operator import EndedTrial, TargetBox

pytestmark = pytest.mark.slow

ENDED = EndedTrial(ended_by="timeout", reason="timeout after 40 s", sim_s=40.0)
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100"
    "c9fe92ef0000000049454e44ae426082"
)


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture
def page(stage, chromium) -> OperatorPage:
    return OperatorPage(chromium, stage.server.url)


def set_up(stage, page, **changes) -> threading.Thread:
    waiting = stage.begin(stage.desk.set_up, trial_view(**changes))
    page.wait(lambda: page.has("#ready"), "the trial's scene")
    return waiting


def judge(stage, page) -> threading.Thread:
    waiting = stage.begin(stage.desk.judge, trial_view(), ENDED)
    page.wait(lambda: page.has("#save"), "the outcome's buttons")
    return waiting


def check_all(page) -> None:
    for box in page.driver.find_elements("css selector", "#trial-body .checks input"):
        box.click()


def answer_of(stage, waiting):
    waiting.join(WALL_LIMIT_S)
    return stage.answers[-1]


def draw_box(page, start=(0.25, 0.25), end=(0.5, 0.5)) -> None:
    page.drag('.tile[data-camera="head"]', start, end)


# ------------------------------------------------------------------------------------------------- states


def test_every_state_looks_like_itself_and_a_dry_run_is_striped_in_all_of_them(stage, page):
    stopped = {"stopped": "chunk: too old"}
    states = {
        "armed": {"armed": "armed"},
        "armed, dry": {"armed": "armed", "dry_run": "true"},
        "disarmed": {"armed": "disarmed"},
        "disarmed, dry": {"armed": "disarmed", "dry_run": "true"},
        "stopped": {"armed": "disarmed", **stopped},
    }
    looks = {}
    for name, said in states.items():
        stage.adapter(**said)
        wanted = "STOPPED" if "stopped" in said else said["armed"].upper()
        is_dry = "dry_run" in said
        page.wait(
            lambda wanted=wanted, is_dry=is_dry: (
                page.text("#headline").split(" · ")[0] == wanted and ("DRY RUN" in page.text("#headline")) == is_dry
            ),
            name,
        )
        style = "const style = getComputedStyle(document.querySelector('header')); return [style.background{}]"
        looks[name] = (*page.run(style.format("Color, style.backgroundImage")), page.text("#headline"))
    for one, other in itertools.combinations(looks, 2):
        assert looks[one][:2] != looks[other][:2], f"{one} and {other} look alike"
        assert looks[one][2] != looks[other][2]
    assert {name for name, (_, stripes, _) in looks.items() if stripes != "none"} == {"armed, dry", "disarmed, dry"}


def test_twin_and_robot_of_metal_are_told_apart(stage, page):
    assert "in the twin" in page.text("#where")
    stage.change(has_twin=False)
    page.wait(lambda: "real robot" in page.text("#where"), "the robot")


def test_no_brace_of_raw_data_is_seen_and_every_number_of_the_policy_has_its_unit(stage, page):
    for tab in ("policy", "joints", "diagnostics", "log"):
        page.click(f"[data-tab={tab}]")
        assert not set("{}[]") & set(page.find("main").text)
    page.click("[data-tab=policy]")
    page.wait(lambda: "22 ms" in page.text("#pane"), "the latency")


# --------------------------------------------------------------------------------------------- set-up


def test_a_trial_shows_what_goes_where_and_runs_only_when_all_is_checked(stage, page):
    waiting = set_up(stage, page)
    drawing = page.find("#trial-body .picture svg")
    assert drawing.size["height"] > 150 and "1 cup" in drawing.text and "2 plate" in drawing.text
    assert "tablecloth → red" in page.text("#trial-body .change")
    assert "Trial 1 of 9" in page.text("#trial-title") and page.text("#trial-chip") == "policy B"
    page.keys("r")
    assert not page.find("#ready").is_enabled()
    first, second = page.driver.find_elements("css selector", "#trial-body .checks input")
    first.click()
    assert not page.find("#ready").is_enabled()
    second.click()
    page.keys("r")
    assert answer_of(stage, waiting).target is None
    page.wait(lambda: page.has('[data-key="E"]'), "the running trial")
    assert stage.desk.look().phase is DeskPhase.RUNNING


@pytest.mark.parametrize("layout", ["whole", "covering"])
@pytest.mark.parametrize("corners", [((0.25, 0.25), (0.5, 0.5)), ((0.5, 0.5), (0.25, 0.25))])
def test_a_box_dragged_in_a_camera_picture_is_told_in_its_pixels(stage, page, layout, corners):
    page.run("document.getElementById('tiles').classList.toggle('alone', arguments[0])", layout == "whole")
    waiting = set_up(stage, page, needs_target_box=True, checklist=())
    assert not page.find("#ready").is_enabled()
    page.wait(lambda: page.run("return document.querySelector('.tile img').naturalWidth") > 0, "a picture")
    draw_box(page, *corners)
    page.wait(lambda: page.has(".tile .box"), "the box")
    assert "target: a box" in page.text("#box-word")
    page.click("#ready")
    area = page.find('.tile[data-camera="head"]').rect
    scale = (min if layout == "whole" else max)(area["width"] / 640, area["height"] / 480)
    across = [(side / 2 - side / 4) / scale for side in (area["width"], area["height"])]
    low = [count / 2 - length for count, length in zip((640, 480), across, strict=True)]
    box = answer_of(stage, waiting).target
    assert isinstance(box, TargetBox) and box.camera == "head"
    assert (box.x_px, box.y_px) == pytest.approx([max(0, at) for at in low], abs=3)
    assert (box.x_px + box.width_px, box.y_px + box.height_px) == pytest.approx((320, 240), abs=3)


def test_a_box_never_leaves_its_picture_and_a_mere_click_is_none(stage, page):
    waiting = set_up(stage, page, needs_target_box=True, checklist=())
    page.wait(lambda: page.run("return document.querySelector('.tile img').naturalWidth") > 0, "a picture")
    draw_box(page, (0.3, 0.3), (0.3, 0.3))
    assert not page.find("#ready").is_enabled()
    draw_box(page, (0.01, 0.01), (0.99, 0.99))
    page.click("#ready")
    box = answer_of(stage, waiting).target
    assert box.x_px >= 0 and box.y_px >= 0 and box.x_px + box.width_px <= 640 and box.y_px + box.height_px <= 480


def test_the_start_image_lies_in_a_tile_of_its_own_with_its_score(stage, page):
    tile = '.tile[data-camera="start image"]'
    set_up(stage, page)
    assert not page.has(tile)
    stage.overlay, stage.score = PNG, 0.83
    page.wait(lambda: page.has(f"{tile} .badge"), "the start image")
    page.wait(lambda: page.run(f"return document.querySelector('{tile} img').naturalWidth") == 1, "its picture")
    assert page.text(f"{tile} .badge") == "alike 83 %" and page.has(f"{tile} .badge.warn")
    stage.score = 0.97
    page.wait(lambda: page.text(f"{tile} .badge") == "alike 97 %", "the scene to be set up better")
    assert not page.has(f"{tile} .badge.warn")
    stage.score = None
    page.wait(lambda: not page.has(tile), "the tile to go with its trial")


def test_a_session_is_ended_by_two_presses_and_no_dialog_ever_stands_before_stop(stage, page):
    waiting = set_up(stage, page)
    end = ".actions button:not(#ready)"
    page.click(end)
    assert "again" in page.text(end) and stage.desk.look().phase is DeskPhase.SET_UP
    page.keys(" ")
    page.wait(lambda: bool(stage.stops), "the stop")
    page.wait(lambda: page.text(end) == "End session", "the question to be forgotten")
    page.click(end)
    page.click(end)
    assert "go on with --resume" in str(answer_of(stage, waiting))


# -------------------------------------------------------------------------------------------- outcome


def test_success_is_two_keys_and_carries_all_sub_tasks(stage, page):
    waiting = judge(stage, page)
    page.keys("s")
    page.keys(ENTER)
    judgement = answer_of(stage, waiting)
    assert judgement.is_success and judgement.sub_tasks == {"lift": True, "pour": True}
    assert judgement.failure == judgement.invalid_because == ""


def test_failure_needs_its_kind_by_number_and_keeps_checked_sub_tasks_and_note(stage, page):
    waiting = judge(stage, page)
    page.keys("f" + ENTER)
    assert not page.find("#save").is_enabled() and stage.desk.look().phase is DeskPhase.JUDGE
    page.click('#steps [data-name="lift"]')
    page.find("#trial-body textarea").send_keys("slipped; s, f and i are letters here")
    page.leave_fields()
    page.keys("2" + ENTER)
    judgement = answer_of(stage, waiting)
    assert not judgement.is_success and judgement.failure == "grasp"
    assert judgement.sub_tasks.get("lift") and not judgement.sub_tasks.get("pour")
    assert judgement.note == "slipped; s, f and i are letters here"


def test_an_invalid_trial_has_to_say_why_and_what_was_entered_survives_the_refusal(stage, page):
    waiting = judge(stage, page)
    page.keys("i6" + ENTER)
    page.wait(lambda: "say why" in page.text("#trial-body .problems"), "the refusal")
    assert page.has('[data-outcome="invalid"].chosen') and page.has('[data-kind="hardware"].chosen')
    page.find("#because").send_keys("the gripper jammed")
    page.leave_fields()
    page.keys(ENTER)
    judgement = answer_of(stage, waiting)
    assert judgement.invalid_because == "the gripper jammed" and judgement.failure == "hardware"


# ------------------------------------------------------------------------------------------------ STOP


@pytest.mark.parametrize("field", ["#instruction", "#seed", "#note"])
def test_escape_stops_while_a_field_has_the_focus(stage, page, field):
    page.click(field)
    page.keys("7")
    assert page.text("#stop small") == "Esc" and not stage.stops
    page.keys(ESCAPE)
    page.wait(lambda: len(stage.stops) == 1, "the stop")
    assert any(message.action == "stop" for message in stage.pressed)


def test_space_types_in_a_text_field_and_stops_everywhere_else(stage, page):
    page.find("#instruction").send_keys("a b")
    assert page.find("#instruction").get_attribute("value") == "a b" and not stage.stops
    page.leave_fields()
    for count, tab in enumerate(("policy", "joints", "diagnostics", "log"), start=1):
        page.click(f"[data-tab={tab}]")  # a button has the focus
        page.keys(" ")
        page.wait(lambda count=count: len(stage.stops) == count, f"the stop from '{tab}'")
        assert page.has(f"[data-tab={tab}].chosen")
    assert not {message.action for message in stage.pressed} - {"stop"}


@pytest.mark.parametrize("phase", ["set up", "running", "judge"])
def test_space_stops_in_every_phase_of_a_trial_and_answers_nothing(stage, page, phase):
    if phase == "judge":
        judge(stage, page)
        page.find("#trial-body textarea").click()
        page.keys(ESCAPE)
    else:
        waiting = set_up(stage, page, checklist=() if phase == "running" else ("looked",))
        if phase == "running":
            page.keys("r")
            waiting.join(WALL_LIMIT_S)
            page.wait(lambda: page.has('[data-key="E"]'), "the running trial")
        else:
            check_all(page)  # a box to check has the focus
        page.keys(" ")
    page.wait(lambda: len(stage.stops) == 1, "the stop")
    assert stage.desk.look().phase.value == phase
    if phase == "set up":
        assert page.find("#trial-body .checks input").is_selected()


def test_the_button_stops_at_the_press_and_not_at_the_release(stage, page):
    from selenium.webdriver import ActionChains

    ActionChains(page.driver).move_to_element(page.find("#stop")).click_and_hold().perform()
    page.wait(lambda: len(stage.stops) == 1, "the stop")
    ActionChains(page.driver).release().perform()


def test_a_second_tab_stops_and_one_that_is_not_looked_at_shows_it(stage, page):
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    try:
        second = OperatorPage(page.driver, stage.server.url)
        second.keys(" ")
        second.wait(lambda: len(stage.stops) == 1, "the stop")
    finally:
        page.driver.close()
        page.driver.switch_to.window(first)


def test_a_page_that_hangs_holds_up_neither_the_console_nor_other_pages(stage, page):
    page.run("setTimeout(() => { const until = Date.now() + 4000; while (Date.now() < until); }, 0)")
    url = stage.server.url.replace("http", "ws")
    with connect(f"{url}stop") as line, connect(f"{url}ws") as talk:
        line.send("stop")
        assert line.recv(timeout=WALL_LIMIT_S) == "heard"
        stage.adapter("armed", stopped="operator: stop service called")
        deadline = time.monotonic() + WALL_LIMIT_S
        while '"mode": "stopped"' not in talk.recv(timeout=WALL_LIMIT_S):
            assert time.monotonic() < deadline
    assert len(stage.stops) == 1
    page.wait(lambda: page.mode == "stopped", "the page to come round")


# ----------------------------------------------------------------------------------------------- the line


def test_a_console_that_went_away_is_shown_as_gone_and_found_again_without_a_reload(chromium):
    stage = Stage()
    page = OperatorPage(chromium, stage.server.url)
    page.run("window.isTheSamePage = true")
    page.find("#instruction").send_keys("half a thought")
    port = int(stage.server.url.rstrip("/").rpartition(":")[2])
    stage.close()
    page.wait(lambda: page.mode == "offline", "the page to notice")
    assert "NO CONNECTION" in page.text("#headline")
    assert "grayscale" in page.run("return getComputedStyle(document.querySelector('.tile img')).filter")
    page.leave_fields()
    page.keys(" ")
    assert "NOT SENT: press the hardware button" in page.text("#stop-word")
    page.click("[data-do=home]")
    assert "not sent" in page.text("#said") and "home" in page.text("#said")
    anew = Stage(port=port)
    try:
        anew.adapter("armed")
        page.wait(lambda: page.mode == "armed", "the console to be found again")
        assert page.run("return window.isTheSamePage") and not anew.stops
        assert page.find("#instruction").get_attribute("value") == "half a thought"
        page.wait(lambda: page.run("return stopLine.isOpen"), "the line for STOP")
        page.keys(" ")
        page.wait(lambda: bool(anew.stops), "the stop")
        before = page.run("return document.querySelector('.tile img').src")
        anew.robot.images += 1
        page.wait(lambda: page.run("return document.querySelector('.tile img').src") != before, "a new picture")
    finally:
        anew.close()


def test_another_website_can_not_show_the_page_inside_its_own(stage, chromium):
    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f'<iframe src="{stage.server.url}"></iframe>'.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Stranger) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        chromium.get(f"http://127.0.0.1:{stranger.server_port}/")
        chromium.switch_to.frame(0)
        assert not chromium.find_elements("css selector", "#stop, header")
        chromium.switch_to.default_content()
        stranger.shutdown()
    assert OperatorPage(chromium, stage.server.url).has("#stop")
