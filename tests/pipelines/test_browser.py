"""A person's way through the real Dagster UI and the pages, in headless Chromium.

Materialize a batch, train an experiment, look at its confusion matrix, follow the link to the pages
and listen; and what a mistake looks like. Nothing the browser asks for may leave this machine.
"""

from collections.abc import Iterator

import pytest
from selenium.webdriver.common.by import By

from tests.pipelines.person import CHROMIUM, DRIVER, Person, at_a_browser
from tests.pipelines.served_ui import (
    EXPERIMENT,
    HOPELESS,
    NEW_BATCH,
    ServedUi,
    home_with_work_to_do,
    serving_ui,
)

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not here"
)
GROUPS = (
    "library", "dataset", "models", "embeddings", "recommendations",
    "generation", "pages",
)  # fmt: skip
NARROW = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
# How far the sound of the page got, and whether it runs: of the first one that was started.
HEARD = """
    const sound = [...document.querySelectorAll('audio')].find(a => a.played.length);
    return sound ? {at: sound.currentTime, paused: sound.paused, error: sound.error} : null;
"""

# Starts to load all pictures, also those below the screen, and says whether all of them are there.
ALL_PICTURES = """
    const pictures = [...document.images];
    pictures.forEach(picture => { picture.loading = 'eager'; });
    return pictures.every(picture => picture.complete && picture.naturalWidth > 0);
"""
LEVELS = """
    return [...document.querySelectorAll('article.sound')].map(
        sound => [...sound.querySelectorAll('audio[data-lufs]')].map(
            player => [Number(player.dataset.lufs), player.volume]));
"""


@pytest.fixture(scope="module")
def ui(made_home, tmp_path_factory) -> Iterator[ServedUi]:
    folder = tmp_path_factory.mktemp("ui")
    with serving_ui(home_with_work_to_do(made_home, folder), log=folder / "ui.log") as served:
        yield served


@pytest.fixture
def person(tmp_path) -> Iterator[Person]:
    with at_a_browser(tmp_path) as person:
        yield person
        assert person.traffic().elsewhere() == []


def test_the_graph_shows_every_group(person, ui):
    person.visit(ui.dagster)
    person.press("Lineage")
    for group in GROUPS:
        person.see(group)
    assert person.shown("//*[@role='dialog']") is None  # nothing to click away first
    asked = person.traffic()
    assert len(asked.urls) > 20
    assert asked.elsewhere() == []


def test_a_batch_is_materialized(person, ui):
    store = ui.made.store
    assert store.current("tracks", NEW_BATCH) is None
    person.visit(f"{ui.dagster}/assets/tracks")
    person.press("Materialize…")
    person.launch(NEW_BATCH)
    status, run = person.watch_run()
    assert status == "Success", person.witness()
    person.visit(f"{ui.dagster}/assets/tracks?view=partitions&partition={NEW_BATCH}")
    person.see("computed and stored")
    made = store.need("tracks", NEW_BATCH)
    assert made.record.run["dagster"] == run
    assert (made.facts["files"], made.facts["ok"]) == (4, 4)
    assert store.verify(made) == []


def test_an_experiment_is_trained_and_its_confusion_matrix_shown(person, ui):
    store = ui.made.store
    assert store.current("trained_models", EXPERIMENT) is None
    person.visit(f"{ui.dagster}/jobs")
    person.press("training")
    person.press("Materialize all…")
    person.launch(EXPERIMENT)
    status, run = person.watch_run()
    assert status == "Success", person.witness()
    for asset in ("trained_models", "evaluations"):
        assert store.need(asset, EXPERIMENT).record.run["dagster"] == run
    person.visit(f"{ui.dagster}/assets/evaluations?view=partitions&partition={EXPERIMENT}")
    person.see("computed and stored")
    person.open_markdown("confusion matrix")
    picture = person.wait(
        "the picture", lambda: person.shown("//img[starts-with(@src, 'data:image/png')]")
    )
    assert person.driver.execute_script("return arguments[0].naturalWidth", picture) > 300
    person.visit(f"{ui.dagster}/assets/trained_models?view=partitions&partition={EXPERIMENT}")
    link = f"//a[starts-with(@href, '{ui.mlflow}/#/experiments/')]"
    person.follow(person.wait("the link to MLflow", lambda: person.shown(link)))
    for written in ("training.epochs", "validation_accuracy"):
        person.see(written)
    data = "//*[text()[contains(., 'genres/train')]]"
    person.wait("the dataset it learned from", lambda: person.shown(data))
    back = f"//a[starts-with(@href, '{ui.dagster}/runs/{run}')]"
    person.wait("the link back to Dagster", lambda: person.shown(back))


def test_the_pages_are_published_and_play(person, ui):
    person.visit(f"{ui.dagster}/assets/pages")
    person.press("Materialize")
    status, _ = person.watch_run()
    assert status == "Success", person.witness()
    person.visit(f"{ui.dagster}/assets/pages")
    link = f"//a[starts-with(@href, '{ui.pages}/pages/index.html')]"
    person.follow(person.wait("the link to the pages", lambda: person.shown(link)))
    person.press("Sounds")
    sound = person.wait("a player", lambda: person.shown("//audio[@controls]"))
    person.press_play(sound)
    assert_it_plays(person, until=0.3)
    person.press("Tracks")
    person.press_what("//button[starts-with(@aria-label, 'Play')]", "a track's play button")
    assert_it_plays(person, until=0.5)
    noted = person.traffic()
    assert (noted.refused, noted.errors) == ([], [])


def test_the_players_of_a_sound_match_their_loudness(person, ui):
    person.visit(f"{ui.pages}/pages/dreams.html")  # the address of earlier versions
    person.wait("the page of sounds", lambda: "/sounds.html" in person.driver.current_url)
    assert person.shown("//h2[text()='On request']")

    def levels() -> list[list[list[float]]]:
        """Of each sound: the loudness and the volume of each player."""
        return person.driver.execute_script(LEVELS)

    def match() -> bool:
        """Whether each player is as loud as the quietest one beside it."""
        sounds = levels()
        quietest = [min(lufs for lufs, _ in players) for players in sounds]
        return any(len(players) > 1 for players in sounds) and all(
            volume == pytest.approx(10 ** ((least - lufs) / 20), abs=1e-3)
            for least, players in zip(quietest, sounds, strict=True)
            for lufs, volume in players
        )

    person.wait("players of one loudness", match)  # the script runs after the page is there
    person.driver.find_element(By.ID, "match").click()
    person.wait(
        "players as loud as their files",
        lambda: {volume for players in levels() for _, volume in players} == {1},
    )


def assert_it_plays(person: Person, *, until: float) -> None:
    def heard() -> dict:
        return person.driver.execute_script(HEARD) or {"at": 0.0, "paused": True}

    first = person.wait("a sound", lambda: (h := heard())["at"] > 0 and h)
    assert not first["paused"], person.witness()
    person.wait("the sound to go on", lambda: heard()["at"] >= max(until, first["at"] + 0.1))


def test_a_mistake_is_told_in_plain_words(person, ui):
    person.visit(f"{ui.dagster}/assets/trained_models")
    person.press("Materialize…")
    person.launch(HOPELESS)
    status, _ = person.watch_run()
    assert status == "Failure", person.witness()
    told = person.text()
    assert "cannot be learned from: no class has 1000 tracks or more" in told
    assert "remedy: " in told
    for word in ("Stack Trace", "Traceback", 'File "', "_core"):
        assert word not in told, person.witness()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_fit_a_narrow_screen(person, ui, scheme):
    driver = person.driver
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", NARROW)
    emulated = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", emulated)
    person.visit(ui.pages)
    pages = [link.get_attribute("href") for link in driver.find_elements(By.CSS_SELECTOR, "nav a")]
    assert len(pages) >= 6
    for page in pages:
        person.visit(page)
        person.wait("a heading", lambda: person.shown("//h1"))
        person.wait("all pictures", lambda: driver.execute_script(ALL_PICTURES))
        wide = driver.execute_script("return document.documentElement.scrollWidth")
        assert wide <= NARROW["width"], person.witness()
        dark = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (dark == "rgb(19, 18, 25)") == (scheme == "dark")
    noted = person.traffic()
    assert (noted.refused, noted.errors) == ([], [])
    assert len([url for url in noted.urls if url.endswith(".html")]) >= len(pages)
