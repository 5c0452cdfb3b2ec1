"""A person's way, in headless Chromium: the graph, a picture in its metadata, a page, a sound."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not here"
)


@pytest.fixture(scope="module")
def addresses(made_home, tmp_path_factory) -> Iterator[dict[str, str]]:
    """The addresses `melgraph ui` prints, on a copy of the made home."""
    root = tmp_path_factory.mktemp("ui") / "home"
    shutil.copytree(made_home.root, root, symlinks=True)
    log = root.parent / "ui.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli", "ui", "--port", "3300"],
            env={**os.environ, "MELGRAPH_HOME": str(root)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield _wait_for_addresses(process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _wait_for_addresses(process: subprocess.Popen, log: Path) -> dict[str, str]:
    end = time.monotonic() + 150
    while time.monotonic() < end and process.poll() is None:
        if "Ctrl-C" in log.read_text():
            return dict(re.findall(r"^  (\w+) +(http://127\.0\.0\.1:\d+)$", log.read_text(), re.M))
        time.sleep(0.5)
    raise AssertionError(f"melgraph ui did not start:\n{log.read_text()}")


@pytest.fixture
def browser(tmp_path) -> Iterator:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--autoplay-policy=no-user-gesture-required", "--window-size=1500,1000",
        f"--user-data-dir={tmp_path / 'profile'}",
    ):  # fmt: skip
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(90)
    yield driver
    driver.quit()


def wait_for(browser, css: str = "", *, text: str = "", seconds: float = 60):
    """The first element that matches, once it is there."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    how = (By.CSS_SELECTOR, css) if css else (By.XPATH, f"//*[contains(text(), '{text}')]")
    return WebDriverWait(browser, seconds).until(lambda d: d.find_element(*how))


def test_the_graph_shows_every_group(browser, addresses):
    browser.get(f"{addresses['Dagster']}/asset-groups/")
    for group in ("ingest", "representations", "dataset", "models", "embeddings", "generation"):
        assert wait_for(browser, text=group).is_displayed()


def test_the_confusion_matrix_opens_in_the_metadata(browser, addresses):
    browser.get(f"{addresses['Dagster']}/assets/evaluations")
    wait_for(browser, text="confusion matrix")
    link = wait_for(browser, text="Show Markdown")
    browser.execute_script("arguments[0].click()", link)
    picture = wait_for(browser, "img[src^='data:image/png']")
    assert browser.execute_script("return arguments[0].naturalWidth", picture) > 300


def test_a_dream_plays(browser, addresses):
    browser.get(f"{addresses['pages']}/pages/dreams.html")
    wait_for(browser, "audio")
    playing = browser.execute_async_script(
        """
        const done = arguments[arguments.length - 1];
        const sound = document.querySelectorAll('audio')[1];
        sound.muted = true;
        sound.addEventListener('timeupdate', () => {
            if (sound.currentTime > 0.1) done({paused: sound.paused, seconds: sound.duration});
        });
        sound.addEventListener('error', () => done({error: String(sound.error.code)}));
        sound.play().catch(problem => done({error: String(problem)}));
        """
    )
    assert playing.get("paused") is False, playing
    assert playing["seconds"] == pytest.approx(1.5, abs=0.1)


def test_a_click_plays_a_track(browser, addresses):
    browser.get(f"{addresses['pages']}/pages/tracks.html")
    button = wait_for(browser, "button[aria-label^='Play'], button.play")
    browser.execute_script("arguments[0].click()", button)
    state = "return [...document.querySelectorAll('audio')].some(a => !a.paused && a.src)"
    end = time.monotonic() + 20
    while not browser.execute_script(state) and time.monotonic() < end:
        time.sleep(0.2)
    assert browser.execute_script(state)
