import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import polars as pl
import pytest

from melgraph.assets.context import Context
from melgraph.assets.dataset.exploration.pictures import EXAMPLES
from melgraph.assets.pages.asset import plan_pages
from melgraph.assets.pages.links import quote_path
from melgraph.assets.pages.site import PAGES, write_pages
from melgraph.assets.recommendations.recommendations import TABLE
from melgraph.storage.artifacts import Work
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.tables import read_table
from tests.assets.pages.small_home import EVIL, ODD_PATHS, SmallHome


class Page(HTMLParser):
    """Links, scripts' texts, ids and visible text of a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.folder = path.parent
        self.links, self.ids, self.texts, self.data, self._in = [], [], [], "", ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self._in = "data" if found.get("id") == "data" else tag
        self.links += [found[k] for k in ("href", "src", "data-play") if k in found]
        self.ids += [found["id"]] if "id" in found else []

    def handle_endtag(self, tag):
        self._in = ""

    def handle_data(self, data):
        if self._in == "data":
            self.data += data
        elif self._in != "script":
            self.texts.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.texts))


def pages_of(artifact):
    return {name: Page(artifact.folder / f"{name}.html") for name in PAGES}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return SmallHome(tmp_path_factory.mktemp("full")).everything()


@pytest.fixture(scope="module")
def artifact(home):
    return home.add_pages()


@pytest.fixture(scope="module")
def pages(artifact):
    return pages_of(artifact)


def target(page, link):
    """The file a link leads to when the page is opened from disk."""
    return page.folder / unquote(urlsplit(link).path)


def recordings_in(name, data):
    """Every recording the scripts of a page can play."""
    if name == "tracks":
        return [row[3] for row in data["rows"]]
    return [track[5] for track in data["tracks"]] if data else []


class TestLinks:
    def test_every_link_of_every_page_resolves(self, pages):
        checked = 0
        for page in pages.values():
            for link in page.links:
                assert not urlsplit(link).scheme, link
                assert not link.startswith("/"), link
                if urlsplit(link).path:
                    assert target(page, link).is_file(), link
                    checked += 1
        assert checked > 100

    def test_every_anchor_exists(self, pages):
        anchors = 0
        for name, page in pages.items():
            for link in page.links:
                anchor = urlsplit(link).fragment
                if anchor and not anchor.startswith("t="):  # a moment of a recording
                    file = Path(urlsplit(link).path).stem or name
                    assert anchor in pages[file].ids, link
                    anchors += 1
        assert anchors > 10

    def test_every_recording_the_scripts_play_resolves(self, home, pages):
        for name in ("tracks", "clusters", "recommendations"):
            found = recordings_in(name, json.loads(pages[name].data))
            played = {unquote(source) for source in found if source is not None}
            assert played >= set(ODD_PATHS), name
            assert all((home.library / path).is_file() for path in played)
            assert all("#" not in s and "?" not in s for s in found if s is not None)

    def test_nothing_comes_from_elsewhere(self, artifact):
        for file in artifact.folder.iterdir():
            text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert not re.search(r"https?://", text), file.name
            assert str(artifact.folder.parents[4]) not in text, f"{file.name} names this machine"

    @pytest.mark.parametrize("path", [*ODD_PATHS, "a/b c;d=e.mp3", "%2e%2e/x.wav", "ä/+&.ogg"])
    def test_quoting_is_undone_by_unquoting(self, path):
        quoted = quote_path(path)
        assert unquote(quoted) == path
        assert urlsplit(quoted).path == quoted
        assert quoted.count("/") == path.count("/")


class TestEscaping:
    def test_markup_in_a_title_stays_text(self, artifact, pages):
        for name, page in pages.items():
            raw = (artifact.folder / f"{name}.html").read_text(encoding="utf-8")
            assert "<script>alert" not in raw, name
            assert "<i>" not in page.text or name == "tracks"
        assert EVIL in pages["sounds"].text
        assert "no known format <i>" in pages["tracks"].text

    def test_markup_in_json_comes_back_whole(self, pages):
        rows = json.loads(pages["tracks"].data)["rows"]
        assert EVIL in [row[0] for row in rows]
        for name in ("clusters", "recommendations"):
            assert EVIL in [track[1] for track in json.loads(pages[name].data)["tracks"]]

    def test_scripts_never_write_html(self, artifact):
        for file in artifact.folder.glob("*.js"):
            text = file.read_text(encoding="utf-8")
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", text)


class TestContents:
    def test_index_tells_the_key_figures(self, home, pages):
        text = pages["index"].text
        assert "library of songs" in text
        assert "24 tracks" in text
        assert "1 quarantined file, 1 duplicate file" in text
        for reference in plan_pages(Context.open(home.home)).inputs:
            assert f"melgraph audit {reference}" in text

    def test_sample_label_is_on_every_page(self, pages):
        for page in pages.values():
            assert "results say nothing about real music" in page.text

    def test_tracks_table(self, home, pages):
        data = json.loads(pages["tracks"].data)
        assert data["splits"] == ["genres"]
        by_path = {row[2]: row for row in data["rows"]}
        assert len(by_path) == 26
        broken, copy = by_path["rock/broken.mp3"], by_path["rock/the same again.flac"]
        assert broken[3] is None
        assert broken[8:10] == ["quarantined", "no known format <i>"]
        assert copy[8:10] == ["duplicate", f"the same sound as {home.paths[3]}"]
        known = dict(home.snapshot.select("path", "split").iter_rows())
        for path, split in known.items():
            assert by_path[path][10] == split or by_path[path][10].startswith("left out: ")
        years = {path: by_path[path][5] for path in home.paths}
        assert years == {
            path: str(1980 + number) if number % 2 else "" for number, path in enumerate(home.paths)
        }

    def test_models_page_lists_exactly_the_wrong_answers(self, home, pages):
        evaluation = home.store.need("evaluations", "small-cnn")
        table = read_table(evaluation.folder / "predictions.parquet")
        wrong = table.filter(pl.col("label") != pl.col("prediction"))["path"].to_list()
        text = pages["models"].text
        assert wrong, "the fixture must hold a wrong answer"
        for path in table["path"].to_list():
            assert (path in text) == (path in wrong), path
        assert "95 %" in text
        assert "5f" * 16 in text
        assert "grouped folds" in text

    def test_models_page_shows_what_speaks_for_each_class(self, home, pages):
        text = pages["models"].text
        for name in home.store.need("datasets", "genres").facts["classes"]:
            assert f"musicnn: tag of {name} 0.75" in text
        assert "musicnn: mean of embedding 7 +0.500" in text

    def test_licences_of_weights_are_shown_where_their_results_are(self, home, pages):
        assert home.store.need("evaluations", "small-cnn").facts["licences"]
        assert "a-tagger: weights CC BY-NC 4.0" in pages["models"].text

    def test_exploration_plays_what_it_shows(self, home, pages):
        report = home.store.need("exploration_reports", "genres")
        page, facts = pages["exploration"], report.facts
        examples = read_table(report.folder / EXAMPLES)
        assert sorted(examples["class"].to_list()) == facts["classes"]
        linked = {target(page, link).name for link in page.links}
        assert {*examples["picture"], *facts["pictures"]} <= linked
        for path in examples["path"].to_list():
            assert path in page.text
            moment = f"{quote_path(path)}#t=1.1"  # half a second from the middle of 2.8 s
            assert any(link.endswith(moment) for link in page.links)
        for sentence in facts["cautions"]:
            assert sentence in page.text
        assert "nan" not in page.text.casefold().replace("quarantine", "")
        assert "None" not in page.text

    def test_every_picture_can_be_read(self, artifact):
        text = (artifact.folder / "exploration.html").read_text(encoding="utf-8")
        pictures = re.findall(r"<img[^>]*>", text)
        assert len(pictures) > 8
        assert all(re.search(r' alt="[^"]{10,}"', image) for image in pictures[1:])  # [0]: the logo

    def test_maps_hold_every_track_once_on_one_scale(self, pages):
        data = json.loads(pages["clusters"].data)
        assert sorted(data["maps"]) == ["mel-statistics", "small-cnn"]
        for found in data["maps"].values():
            assert len({point[0] for point in found["points"]}) == len(found["points"]) == 24
            for at in (-6, -4, -2):  # PCA, t-SNE, UMAP
                xs, ys = ([p[at + axis] for p in found["points"]] for axis in (0, 1))
                assert min(xs) == min(ys) == 0
                assert max(*xs, *ys) == 1

    def test_recommendations_are_those_of_the_table(self, home, pages):
        data = json.loads(pages["recommendations"].data)
        table = read_table(home.store.need("recommendations", "small-cnn").folder / TABLE)
        wanted = table.sort("rank").group_by("track_id").agg("recommended_id")
        ids = [track[0] for track in data["tracks"]]
        found = {ids[int(n)]: near for n, near in data["encoders"]["small-cnn"].items()}
        assert len(found) == wanted.height
        for track_id, near in wanted.iter_rows():
            assert [ids[n] for n, _ in found[track_id]] == near

    def test_the_best_encoder_is_chosen_first(self, home, artifact):
        names = home.store.partitions("recommendations")
        facts = {name: home.store.need("recommendations", name).facts for name in names}
        best = max(names, key=lambda name: facts[name]["same_label"])
        assert names[0] != best  # not because of its name
        page = (artifact.folder / "recommendations.html").read_text(encoding="utf-8")
        assert f'<select id="encoder"><option>{best}</option>' in page

    def test_a_requested_sound_is_listed_with_its_source_and_its_guide(self, home, artifact, pages):
        text = pages["sounds"].text
        guide = home.snapshot.rows(named=True)[0]
        assert "On request" in text
        assert f"Source: .../{EVIL}.mp3 , 61.5 s to 63.5 s" in text
        assert f"Guide: {guide['path']} , label {guide['label']}" in text
        assert "Dream, before post-processing" in text
        assert "Post-processing: high pass, true peak limiter." in text
        assert "requested-guided.0123456789ab" in pages["sounds"].ids
        html = (artifact.folder / "sounds.html").read_text(encoding="utf-8")
        levels = re.findall(r'data-lufs="([^"]+)"', html)
        assert levels == ["-14.0", "-20.5", "-17.25"]  # none of the silent sound, none of 0.1
        assert "-17.25 LUFS" in text

    def test_the_newest_request_of_a_recipe_comes_first(self, tmp_path):
        home = SmallHome(tmp_path, tracks=8).add_tracks().add_dataset()
        for digest in ("bb" * 6, "aa" * 6, "cc" * 6):
            home.add_requested_sound(digest)
        before = plan_pages(Context.open(home.home))
        page = pages_of(home.add_pages())["sounds"]
        requests = [name for name in page.ids if name.startswith("requested-")]
        assert requests == [f"requested-guided.{digest * 6}" for digest in ("cc", "aa", "bb")]
        home.add_requested_sound("dd" * 6)
        assert plan_pages(Context.open(home.home)).version != before.version

    def test_a_generator_without_sounds_says_so(self, tmp_path):
        page = pages_of(SmallHome(tmp_path, tracks=8).add_tracks().add_dataset().add_pages())
        assert "There are none yet. The command melgraph generate" in page["sounds"].text

    def test_the_old_address_of_the_dreams_leads_to_the_sounds(self, artifact):
        assert 'content="0; url=sounds.html"' in (artifact.folder / "dreams.html").read_text()

    def test_dreams_without_a_change_say_so(self, pages):
        assert "no difference" in pages["sounds"].text
        assert "7.25" in pages["sounds"].text


class TestDeterminism:
    def test_same_inputs_same_bytes(self, home, artifact, tmp_path):
        work = Work(artifact.record.spec, tmp_path)
        write_pages(home.store, work)
        assert work.facts == {k: v for k, v in artifact.facts.items() if k != "licences"}
        for name in artifact.record.files:
            assert (tmp_path / name).read_bytes() == (artifact.folder / name).read_bytes(), name

    def test_nothing_new_is_the_same_version(self, home, artifact):
        assert plan_pages(Context.open(home.home)).version == artifact.record.spec.version


class TestNotEverythingIsThere:
    def test_empty_home(self, tmp_path):
        artifact = SmallHome(tmp_path, sample=False).add_pages()
        pages = pages_of(artifact)
        assert set(artifact.facts["absent"]) == {
            "datasets", "explorations", "models", "clusters", "recommendations", "sounds",
            "studies", "leaderboard",
        }  # fmt: skip
        for kind in ("models", "clusters", "recommendations", "sounds"):
            assert artifact.facts["absent"][kind] in pages[kind].text
            assert artifact.facts["absent"][kind] in pages["index"].text
        assert "results say nothing" not in pages["index"].text

    def test_a_library_without_labels(self, tmp_path):
        home = SmallHome(tmp_path, tracks=8).add_tracks().add_dataset(labels="none")
        home.add_exploration().add_maps("mel-statistics")
        why = home.store.need("datasets", "genres").facts["unusable"]
        pages = pages_of(home.add_pages())
        for kind, name in (("models", "models"), ("sounds", "generated sounds")):
            assert why in pages[kind].text
            assert f"There are no {name}, because no model can be trained" in pages["index"].text
        assert (
            "The tracks have no labels with which the clusters could be compared."
            in pages["clusters"].text
        )
        assert "all tracks are shown as one class" in pages["exploration"].text
        data = json.loads(pages["clusters"].data)["maps"]["mel-statistics"]
        assert data["labels"] == []
        assert {p[1] for p in data["points"]} == {-1}

    def test_a_recording_that_is_gone_cannot_be_played(self, tmp_path):
        home = SmallHome(tmp_path, tracks=8).add_tracks().add_dataset()
        home.add_maps("mel-statistics").add_recommendations("mel-statistics")
        before = plan_pages(Context.open(home.home)).version
        catalogue = Catalogue(home.home.catalogue)
        gone = home.paths[0]
        catalogue.note_missing([gone])
        (home.library / gone).unlink()
        assert plan_pages(Context.open(home.home)).version != before
        pages = pages_of(home.add_pages())
        row = {r[2]: r for r in json.loads(pages["tracks"].data)["rows"]}[gone]
        assert row[3] is None
        assert row[8] == "gone"
        for name in ("clusters", "recommendations"):
            found = recordings_in(name, json.loads(pages[name].data))
            assert found.count(None) == 1
            assert all((home.library / unquote(s)).is_file() for s in found if s)

    def test_more_files_than_a_page_holds(self, tmp_path, monkeypatch):
        monkeypatch.setattr("melgraph.assets.pages.results.LIMIT", 5)
        home = SmallHome(tmp_path, tracks=8).add_tracks().add_dataset()
        home.add_maps("mel-statistics").add_recommendations("mel-statistics")
        pages = pages_of(home.add_pages())
        assert len(json.loads(pages["tracks"].data)["rows"]) == 5
        assert "the first 5 by path" in pages["tracks"].text
        points = json.loads(pages["clusters"].data)["maps"]["mel-statistics"]["points"]
        assert len(points) == 5
        assert "5 of 8 tracks are drawn" in pages["clusters"].text
        near = json.loads(pages["recommendations"].data)["encoders"]["mel-statistics"]
        assert len(near) == 5
        assert "5 of 8 tracks" in pages["recommendations"].text
