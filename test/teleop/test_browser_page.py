"""The page in a real Chromium, driven with mouse and keyboard."""

import time
from pathlib import Path

import pytest

from vla3d_ros.teleop.devices.browser import BrowserPage
from vla3d_ros.teleop.devices.browser_server import PageServer

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
pytest.importorskip("websockets.sync.server", reason="websockets is not installed")
from selenium.webdriver import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
PATIENCE_S = 15.0
STATUS = {
    "message": "holding", "adapter": "armed", "said": "", "scale": "0.3", "age_ms": "12", "arms": "left right",
    "selected": "left", "left_clutch": "open", "right_clutch": "locked",
}  # fmt: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM.exists() and DRIVER.exists()), reason="needs chromium and chromium-driver (apt)"),
]


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"):
        options.add_argument(flag)
    options.add_argument("--window-size=980,760")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser):
    page = BrowserPage(PageServer("127.0.0.1", 0), time.monotonic)
    page.open()
    page.show(STATUS)
    browser.get(page.url)
    until(lambda: hand(page).age_s < 0.5)
    yield page
    page.close()


def until(is_done) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_done():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def hand(page: BrowserPage):
    return page.poll(time.monotonic()).hands[0]


def test_a_page_that_is_open_is_heard_and_holds(page):
    assert not hand(page).clutch
    assert not hand(page).twist.any()


def test_dragging_the_left_stick_up_moves_forward_and_letting_go_releases_the_clutch(page, browser):
    stick = browser.find_element(By.ID, "left")
    ActionChains(browser).move_to_element(stick).click_and_hold().move_by_offset(0, -200).perform()
    until(lambda: hand(page).clutch and hand(page).twist[0] > 0.99)
    assert abs(hand(page).twist[1]) < 0.01
    ActionChains(browser).release().perform()
    until(lambda: not hand(page).clutch and not hand(page).twist.any())


def test_the_right_stick_lifts_and_swivels(page, browser):
    stick = browser.find_element(By.ID, "right")
    for offset, axis in (((-200, 0), 5), ((0, -200), 2)):
        ActionChains(browser).move_to_element(stick).click_and_hold().move_by_offset(*offset).perform()
        until(lambda axis=axis: hand(page).twist[axis] > 0.99)
        ActionChains(browser).release().perform()
        until(lambda: not hand(page).clutch)


def test_keys_that_are_held_move_and_several_add_up(page, browser):
    ActionChains(browser).key_down("w").key_down("j").perform()
    until(lambda: hand(page).clutch and hand(page).twist[0] == 1.0 and hand(page).twist[5] == 1.0)
    ActionChains(browser).key_up("w").key_up("j").perform()
    until(lambda: not hand(page).clutch)


def test_losing_the_focus_lets_go_of_everything(page, browser):
    ActionChains(browser).key_down("w").perform()
    until(lambda: hand(page).clutch)
    browser.execute_script("window.dispatchEvent(new Event('blur'))")
    until(lambda: not hand(page).clutch)
    ActionChains(browser).key_up("w").perform()


def test_buttons_press_what_is_written_on_them(page, browser):
    seen: list[str] = []
    names = ("arm", "gripper", "record_start", "stop")
    for name in names:
        browser.find_element(By.CSS_SELECTOR, f"[data-press='{name}']").click()
        until(lambda name=name: seen.extend(page.poll(time.monotonic()).presses) or name in seen)
    ActionChains(browser).send_keys(" ").perform()
    until(lambda: seen.extend(page.poll(time.monotonic()).presses) or seen.count("stop") == 2)
    assert seen == [*names, "stop"]


def test_the_page_shows_state_and_speed_and_lets_the_arm_be_chosen(page, browser):
    until(lambda: browser.find_element(By.ID, "adapter").text == "armed")
    assert browser.find_element(By.ID, "scale").text == "30 %"
    arms = browser.find_elements(By.CSS_SELECTOR, "#arms button")
    assert [arm.text for arm in arms] == ["left", "right"]
    seen: list[str] = []
    for arm, expected in ((arms[0], 0), (arms[1], 1)):  # the one that is chosen already is no request
        ActionChains(browser).click(arm).perform()
        time.sleep(0.3)
        seen += page.poll(time.monotonic()).presses
        assert seen.count("next_arm") == expected
    page.show({**STATUS, "adapter": "stopped: operator", "selected": "", "arms": "only"})
    until(lambda: browser.find_element(By.ID, "adapter").text == "stopped")
    assert "operator" in browser.find_element(By.ID, "message").text


def test_a_server_that_is_gone_is_said_and_found_again(page, browser):
    port = int(page.url.split(":")[2].strip("/"))
    page.close()
    until(lambda: browser.find_element(By.ID, "adapter").text == "not connected")
    again = BrowserPage(PageServer("127.0.0.1", port), time.monotonic)
    again.open()
    until(lambda: hand(again).age_s < 0.5)
    assert not hand(again).clutch
    again.close()
