"""A person at a browser: looks for what is written, presses it, watches; and notes the traffic."""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    StaleElementReferenceException,
)
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
NOT_YET = (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    StaleElementReferenceException,
)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--autoplay-policy=no-user-gesture-required", "--mute-audio", "--window-size=1500,1000",
)  # fmt: skip


@dataclass
class Traffic:
    """What the browser asked for since it was last noted.

    Attributes:
        urls: of every request and web socket.
        refused: (status, URL) of every answer from 400 up.
        errors: what the console calls severe: uncaught errors, files that did not come.
    """

    urls: list[str] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def elsewhere(self) -> list[str]:
        """The URLs that leave this machine."""
        asked = (urlsplit(url) for url in self.urls)
        remote = ("http", "https", "ws", "wss")
        return [u.geturl() for u in asked if u.scheme in remote and u.hostname != "127.0.0.1"]


@dataclass
class Person:
    """Acts by what is visible, and waits for it.

    Attributes:
        driver: of the browser.
        folder: where a screenshot and the text of the page go when something is waited for in vain.
    """

    driver: webdriver.Chrome
    folder: Path

    def visit(self, url: str) -> None:
        """Go to an address."""
        self.driver.get(url)

    def text(self) -> str:
        """All that is written on the page."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def wait(self, what: str, question: Callable[[], Any], seconds: float = 300.0) -> Any:
        """The first true answer.

        Raises:
            AssertionError: there was none in time; it names a screenshot and the page's text.
        """
        end = time.monotonic() + seconds
        while True:
            try:
                if answer := question():
                    return answer
            except NOT_YET:
                pass
            if time.monotonic() > end:
                raise AssertionError(f"waited {seconds:.0f} s in vain for {what}; {self.witness()}")
            time.sleep(0.1)

    def witness(self) -> str:
        """Keep what the page looks like now; returns where."""
        number = len(list(self.folder.glob("page-*.png")))
        picture = self.folder / f"page-{number}.png"
        self.driver.save_screenshot(str(picture))
        picture.with_suffix(".txt").write_text(f"{self.driver.current_url}\n\n{self.text()}")
        return f"at {self.driver.current_url}: see {picture} and the text beside it"

    def shown(self, xpath: str) -> WebElement | None:
        """The first visible element of an XPath, if there is one now."""
        found = self.driver.find_elements(By.XPATH, xpath)
        return next((element for element in found if element.is_displayed()), None)

    def see(self, text: str, *, within: str = "", seconds: float = 300.0) -> WebElement:
        """The visible element that says just this, below the XPath `within`."""
        xpath = f'{within}//*[normalize-space(text())="{text}"]'
        return self.wait(repr(text), lambda: self.shown(xpath), seconds)

    def press(self, name: str, *, seconds: float = 300.0) -> None:
        """Click the button, link or menu item of this name."""
        kinds = "self::button or self::a or @role='button' or @role='menuitem'"
        named = f'normalize-space()="{name}" or @aria-label="{name}"'
        xpath = f"//*[{kinds}][{named}][not(@disabled)]"
        self.wait(f"{name!r} to press", lambda: self._clicked(xpath), seconds)

    def press_what(self, xpath: str, what: str) -> None:
        """Click the first visible element of an XPath."""
        self.wait(what, lambda: self._clicked(xpath))

    def _clicked(self, xpath: str) -> bool:
        if element := self.shown(xpath):
            element.click()
        return element is not None

    def follow(self, element: WebElement) -> None:
        """Click a link, and look at the tab that it opens, if it opens one."""
        before = set(self.driver.window_handles)
        element.click()
        if element.get_attribute("target") == "_blank":
            new = self.wait("a new tab", lambda: set(self.driver.window_handles) - before)
            self.driver.switch_to.window(new.pop())

    def open_markdown(self, key: str) -> None:
        """Open what Dagster's metadata hides behind "Show Markdown": pictures, long tables."""
        row = f"//tr[.//*[normalize-space(text())='{key}']]"
        self.press_what(f"{row}//*[contains(text(), 'Markdown')]", f"{key} to open")

    def press_play(self, sound: WebElement) -> None:
        """Click the play button of a native player: it lies at the left end."""
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", sound)
        left = -int(sound.size["width"]) // 2 + 20
        ActionChains(self.driver).move_to_element_with_offset(sound, left, 0).click().perform()

    def launch(self, partition: str) -> None:
        """In the dialog that asks for partitions: choose one and launch."""
        self.press_what(
            "//*[@role='dialog']//*[contains(text(), 'Select a partition')]", "the partition list"
        )
        self.press_what(
            f"//*[@role='menuitem'][contains(., '{partition}')]", f"the partition {partition}"
        )
        # a long list lies over the button until something else is pressed
        title = "//*[@role='dialog']//*[starts-with(normalize-space(text()), 'Launch runs')]"
        self.press_what(title, "the title of the dialog, to close the list")
        self.press("Launch 1 run")

    def watch_run(self, *, seconds: float = 1800.0) -> tuple[str, str]:
        """Open the run just launched and watch it to its end: its status and id."""
        self.press("View")
        ends = "//*[normalize-space(text())='Success' or normalize-space(text())='Failure']"
        status = self.wait("the end of the run", lambda: self.shown(ends), seconds)
        run = re.search(r"/runs/([0-9a-f-]{36})", self.driver.current_url)
        assert run, self.witness()
        return status.text, run.group(1)

    def traffic(self) -> Traffic:
        """What went over the wire since the last call."""
        noted = Traffic()
        for entry in self.driver.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            about = event["params"]
            if event["method"] == "Network.requestWillBeSent":
                noted.urls.append(about["request"]["url"])
            elif event["method"] == "Network.webSocketCreated":
                noted.urls.append(about["url"])
            elif event["method"] == "Network.responseReceived":
                answer = about["response"]
                if answer["status"] >= 400:
                    noted.refused.append((answer["status"], answer["url"]))
        severe = (e for e in self.driver.get_log("browser") if e["level"] == "SEVERE")
        noted.errors += [entry["message"] for entry in severe]
        return noted


@contextmanager
def at_a_browser(folder: Path) -> Iterator[Person]:
    """A person at a fresh headless Chromium, whose profile lies in `folder`."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(600)
    person = Person(driver, folder)
    person.visit("about:blank")
    person.traffic()  # of the browser's own first tab
    try:
        yield person
    finally:
        driver.quit()
