"""The console's page as an operator uses it, in a browser that selenium drives."""

import contextlib
import io
import socket
from collections.abc import Callable

import numpy as np
from waiting import WaitedInVainError, wait_until

WALL_LIMIT_S, PICTURE_TRIES = 60.0, 5
ESCAPE, ENTER = "\ue00c", "\ue007"


class OperatorPage:
    """One page; every wait is patient, for machines without a GPU."""

    def __init__(self, driver, url: str) -> None:
        self.driver = driver
        driver.get(url)
        self.wait(lambda: self.mode != "offline", "the console to be heard")

    @property
    def mode(self) -> str:
        return self.run("return document.body.dataset.mode")

    def run(self, script: str, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait(self, is_done: Callable[[], bool], what: str) -> None:
        wait_until(is_done, what, limit_s=WALL_LIMIT_S, told=lambda: f"page {self.mode}")

    def find(self, css: str):
        return self.driver.find_element("css selector", css)

    def has(self, css: str) -> bool:
        return self.run("return [...document.querySelectorAll(arguments[0])].some(e => e.getClientRects().length)", css)

    def text(self, css: str) -> str:
        return self.run("return document.querySelector(arguments[0])?.textContent ?? ''", css)

    def click(self, css: str) -> None:
        self.wait(lambda: self.has(css) and self.find(css).is_enabled(), f"{css} to be there")
        self.find(css).click()

    def keys(self, text: str) -> None:
        """Press keys, wherever the focus is."""
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(text).perform()

    def leave_fields(self) -> None:
        self.run("document.activeElement.blur()")

    def drag(self, css: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag over an element, from and to fractions of its width and height."""
        from selenium.webdriver import ActionChains

        element = self.find(css)
        area = element.rect
        (x0, y0), (x1, y1) = start, end
        chain = ActionChains(self.driver, duration=50)
        chain.move_to_element_with_offset(element, (x0 - 0.5) * area["width"], (y0 - 0.5) * area["height"])
        chain.click_and_hold().move_by_offset((x1 - x0) * area["width"], (y1 - y0) * area["height"])
        chain.release().perform()

    def pixels(self, css: str) -> np.ndarray:
        """What is really seen of an element: (H, W, 3) RGB."""
        import matplotlib.image

        shot = matplotlib.image.imread(io.BytesIO(self._screenshot()), format="png")[:, :, :3]
        area = {name: round(value) for name, value in self.find(css).rect.items()}
        seen = shot[area["y"] : area["y"] + area["height"], area["x"] : area["x"] + area["width"]]
        return np.round(255 * seen).astype(int)

    def _screenshot(self) -> bytes:
        """A busy machine without a GPU may take longer for a picture than the driver waits."""
        from selenium.common.exceptions import TimeoutException

        for _ in range(PICTURE_TRIES):
            with contextlib.suppress(TimeoutException):
                return self.driver.get_screenshot_as_png()
        raise WaitedInVainError(f"no picture of the page in {PICTURE_TRIES} tries")


def free_port() -> int:
    """A console that was started anew must be found at the same port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
