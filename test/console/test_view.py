"""The 3D view in a real Chromium, by the pixels that one sees: is everything drawn that the legend names?"""

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("selenium", reason="selenium is not installed: pip install vla3d_ros[browser]")
pytest.importorskip("websockets.sync.client", reason="websockets is not installed")
pytest.importorskip("viser", reason="viser is not installed: pip install vla3d_ros[console]")

from console_page import OperatorPage
from console_stage import Stage

from vla3d_ros.datatypes import SpatialReport

pytestmark = pytest.mark.slow

VIEW = "#view"
ENOUGH_PX = 25


class Seen:
    """How many pixels of each colour there are in the view."""

    def __init__(self, page: OperatorPage) -> None:
        rgb = page.pixels(VIEW)
        rgb = rgb[:-40]  # the legend names the same colours
        red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
        self.rgb = rgb
        count = np.count_nonzero
        self.dark = int(count(rgb.max(axis=2) < 150))
        self.rosy = int(count((red > green + 25) & (red > blue + 20) & (red > 200)))
        self.green = int(count((green > red + 90) & (green > blue + 90)))
        self.red = int(count((red > green + 120) & (red > blue + 120)))
        self.blue = int(count((blue > red + 70) & (blue > green + 35)))
        self.teal = int(count((green > red + 60) & (blue > red + 55) & (abs(green - blue) < 40) & (green < 160)))


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    stage = Stage("dual_piper_tabletop_twin", has_view=True)
    yield stage
    stage.close()


@pytest.fixture(scope="module")
def page(stage, chromium) -> OperatorPage:
    page = OperatorPage(chromium, stage.server.url)
    page.wait(lambda: Seen(page).dark > 2000, "two arms in the view")
    return page


def until(page, is_seen, what) -> Seen:
    page.wait(lambda: is_seen(Seen(page)), what)
    return Seen(page)


def test_both_arms_cameras_and_keep_out_box_are_drawn_and_nothing_that_is_not_there(page):
    seen = until(page, lambda seen: seen.rosy > 1000, "the keep-out box")
    middle = seen.rgb.shape[1] // 2
    arms = [np.count_nonzero(half.max(axis=2) < 190) for half in (seen.rgb[:, :middle], seen.rgb[:, middle:])]
    assert min(arms) > 1000
    assert seen.green < ENOUGH_PX and seen.red < ENOUGH_PX and seen.blue < ENOUGH_PX and seen.teal < ENOUGH_PX


def test_a_plan_is_drawn_while_there_is_one(page, stage):
    name = stage.robot.embodiment.arms[0].name
    stage.robot.plans[name] = np.array([[0.1, 0.1, 0.4], [0.3, 0.0, 0.4], [0.4, -0.1, 0.35]])
    until(page, lambda seen: seen.teal > ENOUGH_PX, "the plan")
    stage.robot.plans.clear()
    until(page, lambda seen: seen.teal < ENOUGH_PX, "the plan to be over")


def test_what_the_policy_believes_is_drawn_and_goes_when_it_says_so_no_more(page, stage):
    generator = np.random.default_rng(1)
    stage.robot.report = SpatialReport(
        instance_points_base=np.array([[0.25, 0.0, 0.45], [0.15, 0.0, 0.45]]),
        instance_scores=np.array([1.0, 0.0]),
        completion_points_base=generator.normal([0.3, -0.2, 0.4], 0.02, (200, 3)),
    )
    seen = until(page, lambda seen: min(seen.green, seen.red, seen.blue) > ENOUGH_PX, "instances and unseen surface")
    at = {name: np.argwhere(mask).mean(axis=0) for name, mask in {
        "sure": (seen.rgb[..., 1] > seen.rgb[..., 0] + 90) & (seen.rgb[..., 1] > seen.rgb[..., 2] + 90),
        "unsure": (seen.rgb[..., 0] > seen.rgb[..., 1] + 120) & (seen.rgb[..., 0] > seen.rgb[..., 2] + 120),
    }.items()}  # fmt: skip
    assert at["sure"][0] > at["unsure"][0]  # what is farther from the robot is nearer to who looks at it, and lower
    stage.robot.report = None
    until(page, lambda seen: max(seen.green, seen.red, seen.blue) < ENOUGH_PX, "the beliefs to go")


def test_where_the_hand_has_been_is_drawn(page, stage):
    before = Seen(page).rgb
    for step in range(20):
        stage.robot.reach_m = 0.01 * step
        page.wait(lambda step=step: len(stage.show.path(stage.robot.embodiment.arms[0].name)) > step, "the path")
    after = until(page, lambda seen: np.count_nonzero(np.abs(seen.rgb - before).max(axis=2) > 40) > 60, "the path").rgb
    drawn = np.argwhere(np.abs(after - before).max(axis=2) > 40)
    assert len(drawn) < 5000  # a line, not another picture


def test_the_robot_moves_in_the_view(page, stage):
    before = Seen(page).rgb
    arm = stage.robot.embodiment.arms[0]
    stage.robot.moved = {arm.joint_names[0]: float(arm.q_home[0]) + 0.6}
    until(page, lambda seen: np.count_nonzero(np.abs(seen.rgb - before).max(axis=2) > 60) > 500, "the arm to turn")


@pytest.mark.parametrize("key", [" ", "\ue00c"])
def test_stop_works_while_the_view_has_the_focus(page, stage, key):
    stops = len(stage.stops)
    page.click(VIEW)
    page.keys(key)
    page.wait(lambda: len(stage.stops) == stops + 1, "the stop")


def test_nothing_in_the_view_can_read_the_page(page):
    assert page.find(VIEW).get_attribute("sandbox") == "allow-scripts"
    page.driver.switch_to.frame(page.find(VIEW))
    try:
        reach = "try { return parent.document.title } catch (error) { return error.name }"
        assert page.run(reach) == "SecurityError"
    finally:
        page.driver.switch_to.default_content()


def test_the_view_of_a_console_that_was_started_anew_is_opened_again(page, stage):
    port = int(stage.server.url.rstrip("/").rpartition(":")[2])
    before = page.run("return document.getElementById('view').src")
    stage.close()
    page.wait(lambda: page.mode == "offline", "the page to notice")
    page.wait(
        lambda: float(page.run("return getComputedStyle(document.getElementById('view')).opacity")) < 0.5, "dimming"
    )
    anew = Stage("dual_piper_tabletop_twin", has_view=True, port=port)
    try:
        page.wait(lambda: page.mode != "offline", "the console")
        page.wait(lambda: page.run("return document.getElementById('view').src") != before, "the new view")
        anew.robot.plans[anew.robot.embodiment.arms[0].name] = np.array([[0.1, 0.1, 0.4], [0.4, -0.1, 0.35]])
        until(page, lambda seen: seen.dark > 2000 and seen.teal > ENOUGH_PX, "what is there now")
    finally:
        anew.close()
