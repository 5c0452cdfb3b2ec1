"""Take the pictures of the README again, from the home that `make demo` writes.

    python docs/screenshots.py HOME

Starts `melgraph ui` on the home, opens it in headless Chromium, and writes docs/images/*.png.
The UI also starts its sensors, so new tracks in the library are ingested meanwhile.
"""

import argparse
import io
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from selenium.webdriver import ActionChains, Keys

sys.path.insert(0, str(Path(__file__).parents[1]))

from melgraph.storage.home import open_home
from tests.conftest import MadeHome
from tests.pipelines.person import Person, at_a_browser
from tests.pipelines.served_ui import serving_ui

IMAGES = Path(__file__).with_name("images")
EXPERIMENT = "small-cnn"
STILL_S = 3.0


def main() -> None:
    """Take all three pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("home", type=Path, help="the home that `make demo` writes")
    home = open_home(parser.parse_args().home.resolve())
    ui_home = MadeHome(home.root, home.library, home.root / "output.txt")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "ui.log"
        with serving_ui(ui_home, log=log) as ui, at_a_browser(Path(folder)) as person:
            graph(person, ui.dagster)
            materialization(person, ui.dagster)
            dreams(person, ui.pages)


def graph(person: Person, dagster: str) -> None:
    """Take a picture of the asset graph with every Dagster group open."""
    person.driver.set_window_size(1700, 2300)  # the UI fits the graph to the width only
    person.visit(f"{dagster}/asset-groups/")
    person.see("recommendations")
    ActionChains(person.driver).key_down(Keys.ALT).send_keys("e").key_up(Keys.ALT).perform()
    person.see("cluster_reports")
    person.driver.refresh()  # the URL keeps the groups open; the reload fits the whole graph
    person.see("cluster_reports")
    still(person)
    keep(person, "graph", width=1400)


def materialization(person: Person, dagster: str) -> None:
    """Take a picture of an evaluation in Dagster with its confusion matrix open."""
    person.driver.set_window_size(1500, 1160)
    person.visit(f"{dagster}/assets/evaluations?view=partitions&partition={EXPERIMENT}")
    person.open_markdown("confusion matrix")
    person.wait("the picture", lambda: person.shown("//img[starts-with(@src, 'data:image/png')]"))
    still(person)
    keep(person, "materialization", width=1200)


def dreams(person: Person, pages: str) -> None:
    """Take a picture of the page of sounds while a dream plays."""
    person.driver.set_window_size(1080, 1100)
    person.visit(f"{pages}/pages/sounds.html")
    sound = person.wait("a player", lambda: person.shown("(//audio[@controls])[2]"))
    person.press_play(sound)
    person.wait("a sound", lambda: sound.get_property("currentTime") > 1)
    person.driver.execute_script("window.scrollTo(0, 0)")
    keep(person, "dreams", width=1000)


def still(person: Person) -> None:
    """Wait until the picture on the screen stops changing."""

    def is_still() -> bool:
        before = person.driver.get_screenshot_as_png()
        time.sleep(STILL_S)
        return person.driver.get_screenshot_as_png() == before

    person.wait("a still picture", is_still)


def keep(person: Person, name: str, *, width: int) -> None:
    """Write a picture of the screen, scaled to a width of `width` pixels."""
    picture = Image.open(io.BytesIO(person.driver.get_screenshot_as_png())).convert("RGB")
    height = round(picture.height * width / picture.width)
    picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    path = IMAGES / f"{name}.png"
    # A palette takes a third of the bytes; k-means keeps its colours close to the original ones.
    method, dither = Image.Quantize.MEDIANCUT, Image.Dither.NONE
    picture.quantize(256, method=method, kmeans=1, dither=dither).save(path, optimize=True)
    print(f"{path.name}: {width} x {height}, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
