"""Sounds on request: which recordings a user can name, and what is kept of them."""

import shutil

import pytest
import soundfile
from mutagen.flac import FLAC

from melgraph.assets.generation.named_songs import find_song
from melgraph.assets.generation.requested_sounds import Request, RequestedSounds, cautions_of
from melgraph.assets.remaking import remake
from melgraph.assets.stages import EXCERPTS, REQUESTED_SOUNDS, STAGES
from melgraph.ml.errors import UserError
from melgraph.storage.lineage import trace
from tests.conftest import GUIDE


@pytest.fixture
def sounds(made_home):
    (name,) = made_home.store.partitions(REQUESTED_SOUNDS.name)
    return RequestedSounds.current(made_home.store, name)


class TestNames:
    def test_a_file_outside_of_the_library_is_named_without_its_folder(self, made_home):
        song = find_song(made_home.context, str(made_home.outside), "--source")
        assert song.is_outside
        assert song.track["path"] == ".../A wish? 100 %.wav"
        assert song.seconds == 4.0

    @pytest.mark.parametrize("how", ["path in the library", "file", "track id", "digits"])
    def test_a_track_can_be_named_in_several_ways(self, made_home, how):
        context = made_home.context
        track_id = find_song(context, GUIDE, "--source").track["track_id"]
        names = {
            "path in the library": GUIDE,
            "file": str(made_home.library / GUIDE),
            "track id": track_id,
            "digits": track_id[:8],
        }
        song = find_song(context, names[how], "--source")
        assert not song.is_outside
        assert (song.track["track_id"], song.library_path) == (track_id, GUIDE)

    def test_a_moved_track_is_found_by_its_id(self, home_copy):
        home = home_copy(library=True)
        track_id = find_song(home.context, GUIDE, "--source").track["track_id"]
        (home.library / GUIDE).unlink()
        with pytest.raises(UserError, match="not there any more"):
            find_song(home.context, track_id, "--source")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("nope.mp3", "no such file, and no such track"),
            ("", "no such file, and no such track"),
            ("ffffffffff", "no such file, and no such track"),
            ("x" * 5000, "no such file, and no such track"),
            (".", "this is a folder"),
            ("\udcff.mp3", "no such file, and no such track"),
        ],
    )
    def test_what_is_no_recording(self, made_home, text, message):
        with pytest.raises(UserError, match=message) as caught:
            find_song(made_home.context, text, "--guide")
        assert caught.value.where == f"--guide {text}"

    def test_an_empty_file(self, made_home, tmp_path):
        (tmp_path / "empty.flac").touch()
        with pytest.raises(UserError, match="the file is empty"):
            find_song(made_home.context, str(tmp_path / "empty.flac"), "--source")

    def test_a_file_of_the_library_by_a_path_with_dots(self, made_home):
        genre = GUIDE.split("/")[0]
        text = f"{made_home.library}/{genre}/../{GUIDE}"
        assert find_song(made_home.context, text, "--source").library_path == GUIDE

    def test_a_name_that_is_not_unicode(self, made_home, tmp_path):
        for folder in (tmp_path, made_home.library):
            file = folder / "\udcff\udcfe.wav"
            try:
                shutil.copy(made_home.outside, file)
            except OSError:
                pytest.skip("the file system has names in Unicode only")
            try:
                song = find_song(made_home.context, str(file), "--source")
            finally:
                file.unlink()
            assert song.track["path"] == r".../\udcff\udcfe.wav"


class TestSounds:
    def test_the_sound_names_its_source_its_guide_and_its_network(self, sounds):
        (row,) = sounds.rows
        tags = FLAC(sounds.file(row, "dream"))
        assert tags["melgraph_source"] == [".../A wish? 100 %.wav"]
        assert tags["melgraph_guide"] == [GUIDE]
        assert tags["melgraph_record"] == [str(sounds.reference)]
        assert tags["melgraph_network"][0].startswith("trained_models/small-cnn/")
        assert (row["start_s"], row["seconds"], row["guide"]["label"]) == (1.0, 1.5, "classical")
        assert sounds.recipe == "guided-dream"
        assert sounds.generator.name == "dreams"
        # a generator that computes other bytes leads to another version
        assert sounds.spec.config["generator"] == ["dreams", STAGES["dreams"].number]

    def test_nothing_names_the_folder_of_the_source(self, made_home, sounds):
        store, folder = made_home.store, str(made_home.outside.parent)
        artifacts = [sounds.artifact, *(store.get(r) for r in sounds.spec.inputs)]
        for artifact in (a for a in artifacts if a.reference.asset != "trained_models"):
            for file in artifact.folder.iterdir():
                assert folder.encode() not in file.read_bytes(), file
        pages = store.need("pages", "all").folder / "sounds.html"
        assert folder not in pages.read_text()
        assert "A wish? 100 %" in pages.read_text()

    def test_the_original_beside_it_is_the_excerpt(self, made_home, sounds):
        (row,) = sounds.rows
        original, rate = soundfile.read(sounds.file(row, "original"))
        song, _ = soundfile.read(made_home.outside)
        assert abs(original - song[rate : rate + len(original)]).max() < 1e-4

    def test_the_recipe_keeps_its_own_sounds(self, made_home):
        assert made_home.store.partitions("dreams") == ["deep-dream"]

    def test_the_same_request_is_the_same_version(self, made_home, sounds):
        request = Request(made_home.context, "guided-dream", str(made_home.outside), GUIDE, 1.0)
        assert request.spec.reference == sounds.reference
        assert cautions_of(request.pairs) == []
        other = Request(made_home.context, "guided-dream", str(made_home.outside), GUIDE, 1.5)
        assert other.spec.partition != sounds.name

    def test_they_are_made_again_after_the_recording_was_deleted(self, home_copy, tmp_path):
        home = home_copy(library=True)
        (name,) = home.store.partitions(REQUESTED_SOUNDS.name)
        artifact = home.store.need(REQUESTED_SOUNDS.name, name)
        (home.library / GUIDE).unlink()
        shutil.rmtree(home.root / "outside")
        again = tmp_path / "again"
        again.mkdir()
        assert remake(home.store, artifact, again) == []
        chain = trace(home.store, artifact, keeps_sound=lambda a: EXCERPTS.owns(a.reference))
        assert chain.problems == []
        assert all("its excerpt is kept" in (source.note or "") for source in chain.sources)


class TestMistakes:
    def refusal(self, home, *request, **options) -> UserError:
        with pytest.raises(UserError) as caught:
            _ = Request(home.context, *request, **options).pairs
        return caught.value

    def test_the_guide_is_the_source(self, made_home, tmp_path):
        copy = shutil.copy(made_home.library / GUIDE, tmp_path / "another name.flac")
        error = self.refusal(made_home, "guided-dream", GUIDE, str(copy))
        assert "the guide is the source itself" in error.what

    def test_a_guide_for_a_recipe_without_one(self, made_home):
        error = self.refusal(made_home, "deep-dream", None, GUIDE)
        assert error.what == "the recipe uses no guide song"
        assert "guided-dream" in error.remedy

    def test_no_guide_for_a_recipe_that_needs_one(self, made_home):
        error = self.refusal(made_home, "guided-dream", GUIDE)
        assert "needs a guide song" in error.what

    @pytest.mark.parametrize("start", [-1.0, float("nan"), float("inf")])
    def test_a_start_that_is_none(self, made_home, start):
        assert "cannot start at" in self.refusal(made_home, "deep-dream", start_s=start).what

    @pytest.mark.parametrize("seconds", [0.0, -1.0, 61.0, float("nan")])
    def test_a_length_that_is_none(self, made_home, seconds):
        error = self.refusal(made_home, "deep-dream", seconds=seconds)
        assert error.where == "--seconds"

    def test_a_model_that_is_not_trained(self, home_copy):
        home = home_copy()
        shutil.rmtree(home.home.artifacts / "trained_models")
        error = self.refusal(home, "deep-dream", GUIDE)
        assert "not trained yet" in error.what
        assert "melgraph run --experiment small-cnn" in error.remedy


def test_the_sources_of_the_recipe_with_another_part(made_home):
    """Without a source, the recipe's own are used: here another part of them."""
    request = Request(made_home.context, "deep-dream", seconds=0.5)
    ((source, guide),) = request.pairs
    assert guide is None
    assert source.cut.seconds == 0.5
    row = made_home.store.need("dreams", "deep-dream").facts["sounds"][0]
    assert source.song.track["track_id"] == row["track_id"]
    assert request.spec.config["excerpt_s"] == 0.5


def test_a_wrong_name_of_a_recording_is_refused_before_anything_is_written(home_copy):
    home = home_copy()
    shutil.rmtree(home.home.artifacts / "excerpts")
    with pytest.raises(UserError):
        Request(home.context, "guided-dream", GUIDE, "nope.mp3").produce()
    assert not (home.home.artifacts / "excerpts").exists()
