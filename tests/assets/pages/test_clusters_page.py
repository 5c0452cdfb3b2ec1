"""The page of clusters: what it holds, and a person who clicks, hears and sees."""

import json
from urllib.parse import unquote

import polars as pl
import pytest
from PIL import Image
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By

from melgraph.assets.embeddings.clusters.agreement import CONTINGENCY
from melgraph.assets.embeddings.clusters.outliers import OUTLIERS
from melgraph.assets.embeddings.clusters.reports import MAP
from melgraph.assets.pages.clusters import PARTS
from melgraph.storage.tables import read_table
from tests.assets.pages.small_home import SmallHome
from tests.assets.pages.test_site import Page
from tests.assets.service.served import serving
from tests.pipelines.person import CHROMIUM, DRIVER, Person, at_a_browser

OUTSIDE = ("world/raga.flac", "opera/aria 'n' #1.flac")
FIELDS = ("track", "label", "part", "kmeans", "mixture", "hdbscan", "tile", "p", "nearest",
          "x_pca", "y_pca", "x_tsne", "y_tsne", "x_umap", "y_umap")  # fmt: skip
ENCODERS = ("mel-statistics", "small-cnn")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clusters")
    made = SmallHome(folder, tracks=140, sample=False, others=OUTSIDE).add_tracks().add_dataset()
    return made.add_model().add_maps(*ENCODERS).add_recommendations(*ENCODERS)


@pytest.fixture(scope="module")
def artifact(home):
    return home.add_pages()


@pytest.fixture(scope="module")
def page(artifact):
    return Page(artifact.folder / "clusters.html")


@pytest.fixture(scope="module")
def data(page):
    return json.loads(page.data)


def points_of(data, encoder):
    rows = data["maps"][encoder]["points"]
    return [dict(zip(FIELDS, row, strict=True)) for row in rows]


class TestContents:
    def test_every_point_is_its_row_of_the_report(self, home, data):
        for encoder in ENCODERS:
            report = home.store.need("cluster_reports", encoder)
            table = read_table(report.folder / MAP)
            strange = read_table(report.folder / OUTLIERS)
            judged = {row["track_id"]: row for row in strange.iter_rows(named=True)}
            points = points_of(data, encoder)
            assert len(points) == table.height == 142
            labels = data["maps"][encoder]["labels"]
            for point, row in zip(points, table.iter_rows(named=True), strict=True):
                track = data["tracks"][point["track"]]
                assert track[0] == row["track_id"]
                assert (labels[point["label"]] if point["label"] >= 0 else None) == row["label"]
                for name in ("kmeans", "mixture", "hdbscan", "tile"):
                    assert point[name] == row[name]
                part = PARTS[point["part"]]
                outside = row["part"] == "outside"
                assert part.startswith(row["part"])
                assert ("flagged" in part) == (outside and judged[track[0]]["flagged"])
                assert (point["p"] is None) == (row["part"] == "train")
                assert (point["nearest"] is None) == (row["part"] == "train")

    def test_every_picture_is_there(self, home, artifact, data):
        for encoder in ENCODERS:
            sheets = data["maps"][encoder]["sheets"]
            tiles = [point["tile"] for point in points_of(data, encoder)]
            assert sorted(tiles) == list(range(sheets["drawn"]))
            each = sheets["columns"] * sheets["rows"]
            assert len(sheets["links"]) == -(-len(tiles) // each) == 2
            for number, link in enumerate(sheets["links"]):
                with Image.open(artifact.folder / unquote(link)) as picture:
                    rows = -(-min(each, len(tiles) - number * each) // sheets["columns"])
                    assert picture.size == (
                        sheets["width"] * sheets["columns"],
                        sheets["height"] * rows,
                    )

    def test_tracks_outside_the_dataset_are_named_and_can_be_played(self, home, page):
        report = home.store.need("cluster_reports", "small-cnn")
        facts = report.facts["outliers"]
        assert (facts["outside"]["tracks"], facts["outside"]["flagged"]) == (2, 2)
        assert page.text.count("Tracks outside the dataset") == 2  # a section for each encoder
        assert "2 of 2 tracks outside the dataset are flagged" in page.text
        for path in OUTSIDE:
            assert path in page.text
        played = {unquote(link) for link in page.links}
        assert {f"../../../../library/{path}" for path in OUTSIDE} <= played

    def test_contingency_is_that_of_the_report(self, home, page):
        table = read_table(home.store.need("cluster_reports", "small-cnn").folder / CONTINGENCY)
        held_out = table.filter(pl.col("tracks") == "held-out tracks")
        first = held_out.filter(pl.col("clusterer") == "kmeans")
        row = first.filter(pl.col("cluster") == first["cluster"][0])
        counts = " ".join(str(n) if n else "" for n in row["count"])
        shown = f"{row['cluster'][0] + 1} {row['matched_label'][0]} {counts}"
        assert " ".join(shown.split()) in page.text
        for clusterer in ("k-means", "Gaussian mixture"):
            assert f"Tracks by cluster and label: {clusterer}, held-out tracks" in page.text

    def test_encoders_are_compared_in_one_table(self, page):
        text = page.text
        compared = text[
            text.index("Comparison of the encoders") : text.index("Clustering uses no labels")
        ]
        for encoder in ENCODERS:
            assert compared.count(f" {encoder} ") == 2  # a row for each clusterer
        for figure in ("Hungarian accuracy", "NMI", "ARI", "ROC-AUC of outside tracks", "chance"):
            assert figure in compared


needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not here"
)


@pytest.fixture(params=["from disk", "served"])
def person(request, tmp_path, home, artifact):
    """A person at the page, as a file and as the server gives it."""
    with at_a_browser(tmp_path) as person:
        if request.param == "from disk":
            person.visit((artifact.folder / "clusters.html").as_uri())
            yield person
        else:
            with serving(home.home) as client:
                person.visit(f"http://127.0.0.1:{client.port}/pages/clusters.html")
                yield person
                person.visit("about:blank")
        noted = person.traffic()
        assert noted.elsewhere() == []
        assert (noted.refused, noted.errors) == ([], [])


HEARD = "const a = document.getElementById('player-audio'); return [a.currentTime, a.paused];"
# The chosen track's picture: loaded, and how much of the frame it covers.
SEEN = """
    const image = document.querySelector('.chosen .cut img');
    if (!image || !image.complete || !image.naturalWidth) return null;
    const [frame, all] = [image.parentElement, image].map(e => e.getBoundingClientRect());
    const inside = all.left <= frame.left + 1 && all.right >= frame.right - 1
        && all.top <= frame.top + 1 && all.bottom >= frame.bottom - 1;
    return {inside, width: frame.width, height: frame.height, alt: image.alt};
"""


def plane_of(person: Person, number: int = 0):
    plane = person.driver.find_elements(By.CSS_SELECTOR, ".plane")[number]
    person.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", plane)
    person.wait("the points", lambda: plane.find_elements(By.CSS_SELECTOR, "path[transform]"))
    return plane


def shown_points(plane) -> int:
    return len(plane.find_elements(By.CSS_SELECTOR, "path[visibility=visible]"))


def choose(person: Person, plane, selector: str, value: str) -> None:
    root = plane.find_element(By.XPATH, "ancestor::*[@data-map]")
    select = root.find_element(By.CSS_SELECTOR, selector)
    option = select.find_element(By.XPATH, f"option[normalize-space()='{value}']")
    option.click()


def heard(person: Person) -> bool:
    """Whether the sound runs: its time goes on."""
    before, _ = person.driver.execute_script(HEARD)
    person.wait("the sound to go on", lambda: person.driver.execute_script(HEARD)[0] > before)
    return not person.driver.execute_script(HEARD)[1]


@needs_browser
class TestPerson:
    def test_clicks_a_point_hears_it_and_sees_it(self, person):
        plane = plane_of(person)
        points = plane.find_elements(By.CSS_SELECTOR, "path")
        assert len(points) == 142
        ActionChains(person.driver).move_to_element(points[137]).click().perform()
        assert heard(person)
        seen = person.wait("the spectrogram", lambda: person.driver.execute_script(SEEN))
        assert seen["inside"]
        assert seen["width"] / seen["height"] == pytest.approx(1.5, abs=0.02)
        name = seen["alt"].removeprefix("Mel spectrogram of ")
        assert name in person.driver.find_element(By.ID, "player-title").text
        assert name in person.driver.find_element(By.CSS_SELECTOR, ".chosen").text
        # the same point again: it stops
        ActionChains(person.driver).click().perform()
        person.wait("silence", lambda: person.driver.execute_script(HEARD)[1])

    def test_chooses_maps_colours_and_tracks(self, person):
        plane = plane_of(person)
        everyone = shown_points(plane)

        def places():
            return [p.get_attribute("transform") for p in plane.find_elements(By.TAG_NAME, "path")]

        seen = set()
        for method in ("PCA", "t-SNE", "UMAP"):
            choose(person, plane, "[data-method]", method)
            seen.add(tuple(places()))
        assert len(seen) == 3
        legend = plane.find_element(By.XPATH, "ancestor::*[@data-map]//*[@class='legend']")
        for colour, group in (
            ("k-means cluster", "cluster 1"),
            ("Gaussian mixture cluster", "cluster 2"),
            ("split, or outside the dataset", "outside the dataset, flagged"),
            ("label", "rock"),
        ):
            choose(person, plane, "[data-colour]", colour)
            assert group in legend.text
        rock = legend.find_element(By.XPATH, ".//button[contains(., 'rock')]")
        count = int(rock.find_element(By.TAG_NAME, "small").text)
        rock.click()
        assert shown_points(plane) == everyone - count
        choose(person, plane, "[data-colour]", "k-means cluster")  # and they stay away
        assert shown_points(plane) == everyone - count
        person.press("Show all")
        assert shown_points(plane) == everyone
        find = plane.find_element(By.XPATH, "ancestor::*[@data-map]//input[@type='search']")
        for words, left in (("opera aria", 1), ("WORLD", 1), ("unicode", 1), ("no such", 0)):
            find.clear()
            find.send_keys(words)
            assert shown_points(plane) == left, words

    def test_needs_no_mouse(self, person):
        plane = plane_of(person, number=1)
        plane.send_keys(Keys.ARROW_RIGHT)
        hint = plane.find_element(By.XPATH, "following-sibling::*[@class='hint']")
        first = hint.text
        plane.send_keys(Keys.ARROW_LEFT, Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ARROW_UP)
        assert first not in ("", "Point at a track to see its name. Click it to play it.")
        assert hint.text != ""
        plane.send_keys(Keys.ENTER)
        assert heard(person)
        assert person.wait("the spectrogram", lambda: person.driver.execute_script(SEEN))

    def test_tracks_outside_the_dataset_play_from_their_table(self, person):
        button = "//h3[starts-with(@id, 'outside')]/following-sibling::*//button[@data-play]"
        element = person.driver.find_element(By.XPATH, button)
        person.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        person.press_what(button, "a play button")
        assert heard(person)
