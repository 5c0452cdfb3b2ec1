"""The sounds of generative models: their sources, marks, figures, and what is refused."""

import mutagen
import numpy as np
import polars as pl
import pytest
import soundfile

from melgraph.assets.generation.models.generative_model import LEARNED, GenerativeModel
from melgraph.assets.generation.report.measurements import cases_of
from melgraph.assets.generation.requested_sounds import Request
from melgraph.assets.generation.sounds import Sounds
from melgraph.assets.generation.trained.compositions import Compositions
from melgraph.assets.generation.trained.genre_transfers import GenreTransfers
from melgraph.assets.generation.trained.recreations import Recreations
from melgraph.ml.audio.loudness import loudness_lufs
from melgraph.ml.errors import UserError

TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def tags_of(sounds: Sounds, name: str) -> dict[str, list[str]]:
    return dict(mutagen.File(sounds.artifact.folder / name).tags)


def test_a_genre_transfer_takes_songs_of_the_other_genre(made_home):
    sounds = GenreTransfers.current(made_home.store, "tiny-transfer")
    (row,) = sounds.rows
    assert (row["label"], row["target"]) == ("blues", "classical")
    assert row["split"] in ("test", "validation")
    tags = tags_of(sounds, sounds.new_file(row))
    assert tags["digital_source_type"] == [f"{TERMS}compositeWithTrainedAlgorithmicMedia"]
    assert tags["melgraph_source"] == [row["path"]]
    assert tags["melgraph_network"][0].startswith("generative_models/tiny-gan/")
    model = GenerativeModel.input_of(made_home.store, sounds.spec)
    n_learned = model.recordings.filter(pl.col("part") == LEARNED).height
    assert 0 < n_learned < model.recordings.height  # the others are set aside for validation
    assert tags["melgraph_trained_on"] == [f"{n_learned} recordings of {model.snapshot.reference}"]


def test_a_genre_transfer_is_as_loud_as_its_source(made_home):
    sounds = GenreTransfers.current(made_home.store, "tiny-transfer")
    (row,) = sounds.rows
    (original, rate), (new, new_rate) = (
        soundfile.read(sounds.artifact.folder / name, always_2d=True)
        for name in (row["files"]["original"], sounds.new_file(row))
    )
    assert np.abs(new).max() < 1  # full scale does not limit it
    assert row["loudness_matched"]
    assert abs(row["level_drift_lu"]) > 1  # without a match, the levels would differ
    assert loudness_lufs(original, rate) == pytest.approx(-18.8, abs=0.5)
    assert loudness_lufs(new, new_rate) == pytest.approx(loudness_lufs(original, rate), abs=0.5)


def test_a_recreation_names_what_the_networks_say(made_home):
    (row,) = Recreations.current(made_home.store, "tiny-recreation").rows
    assert row["target"] == row["label"]
    genres = ("blues", "classical", "country")
    assert row["own_network_before"] in genres
    assert row["own_network_after"] in genres
    assert row["mfcc_error"] > 0


def test_a_composition_names_no_source(made_home):
    sounds = Compositions.current(made_home.store, "tiny-composition")
    (row,) = sounds.rows
    assert row["composed"] == f"{row['label']} 1"
    tags = tags_of(sounds, sounds.new_file(row))
    assert tags["digital_source_type"] == [f"{TERMS}trainedAlgorithmicMedia"]
    assert not {"melgraph_source", "melgraph_track_id", "artist"} & tags.keys()
    assert tags["title"] == [f"{row['composed']} (composition)"]
    (recording,) = sounds.artifact.record.recordings
    assert recording.files == (row["files"]["original"],)
    original = tags_of(sounds, row["files"]["original"])
    assert original["melgraph_source"] == [row["path"]]
    assert "digital_source_type" not in original


def test_a_composition_is_as_long_as_the_recording_beside_it_and_audible(made_home):
    sounds = Compositions.current(made_home.store, "tiny-composition")
    (row,) = sounds.rows
    files = (row["files"]["original"], sounds.new_file(row))
    real, new = (soundfile.read(sounds.artifact.folder / name, always_2d=True)[0] for name in files)
    assert real.shape == new.shape
    assert np.abs(new).max() > 1e-3


def test_a_composition_takes_no_source_of_a_user(made_home):
    request = Request(made_home.context, "tiny-composition", str(made_home.outside))
    with pytest.raises(UserError, match="composes from noise, and takes no source"):
        request.check()


def test_a_song_of_a_user_is_moved_and_a_song_without_genre_is_not_recreated(home_copy, made_home):
    home = home_copy()
    outside = str(made_home.outside)
    artifact, is_new = Request(home.context, "tiny-transfer", outside).produce()
    assert is_new
    assert artifact.facts["sounds"][0]["target"] == "classical"
    with pytest.raises(UserError, match="has no genre, and the model knows"):
        Request(home.context, "tiny-recreation", outside).produce()


def test_an_untrained_model_names_the_command(home_copy):
    home = home_copy()
    with pytest.raises(UserError, match="generative model composition, which is not trained") as e:
        Request(home.context, "composition").check()
    assert "melgraph run --experiment composition" in e.value.remedy


def test_judges_leave_out_the_artists_that_the_model_learned_from(made_home):
    store = made_home.store
    several = [GenreTransfers.current(store, "tiny-transfer")]
    (case,) = cases_of(several)
    train = set(case.learned)
    assert len(train) == 8
    assert case.origin == train | {case.song}
    assert case.networks == {"experiment tiny-gan"}
