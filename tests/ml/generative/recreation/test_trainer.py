"""The training of recreations: own songs only, equal bits after an interruption, learning."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.generative.base import GenreTracks, figure_names
from melgraph.ml.generative.recreation.trainer import RecreationTrainer
from tests.ml.generative.recreation.toys import (
    GENRES,
    LSTM,
    SHAPE,
    equal_weights,
    network_of,
    setup_of,
    songs,
    trained,
)

STEPS = 3 * 2 * 3  # epochs, genres, batches of 4 of 9 crops
ALL_STEPS = [0, 1, 2, 3, 4, 5] * 3  # of each epoch


def comparable(result):
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in result.curves]
    arrays = [(s.values, s.genres, s.tracks, s.starts) for s in result.samples]
    return rows, [[a.tobytes() for a in sample] for sample in arrays], result.notes


@pytest.mark.parametrize("lstm", LSTM)
def test_a_training_stopped_at_any_step_ends_with_the_same_bits(tmp_path, lstm):
    expected, whole = trained(setup_of(), lstm=lstm)
    stops = np.random.default_rng(int(lstm)).choice(STEPS, 5, replace=False)
    for stop_at in map(int, stops):
        folder = tmp_path / str(stop_at)
        with pytest.raises(KeyboardInterrupt):
            trained(setup_of(folder), lstm=lstm, stop_at=stop_at)
        steps = []
        network, result = trained(setup_of(folder), lstm=lstm, steps=steps)
        assert steps == ALL_STEPS[stop_at:]
        assert equal_weights(network, expected), stop_at
        assert comparable(result) == comparable(whole)


@pytest.mark.parametrize("lstm", LSTM)
def test_equal_seeds_give_equal_bits_and_other_seeds_do_not(lstm):
    network, result = trained(setup_of(), lstm=lstm)
    again, repeated = trained(setup_of(), lstm=lstm)
    assert equal_weights(network, again)
    assert comparable(result) == comparable(repeated)
    assert not equal_weights(network, trained(setup_of(seed=6), lstm=lstm)[0])


def test_each_genre_gives_its_crops_and_changes_its_own_network():
    network = network_of()
    trainer = RecreationTrainer(network, setup_of())
    trainer.begin_epoch(1, np.random.default_rng(0))
    assert trainer.steps_per_epoch == len(trainer._batches) == STEPS / 3
    for genre in range(2):
        own = [tracks for g, tracks, _ in trainer._batches if g == genre]
        tracks, counts = np.unique(np.concatenate(own), return_counts=True)
        assert tracks.tolist() == trainer.setup.training.of_genre(genre).tolist()
        assert counts.tolist() == [3, 3, 3]
    before = network_of()
    assert trainer._batches[0][0] == 0
    trainer.step(0)
    assert not equal_weights(network.of_genre[0], before.of_genre[0])
    assert equal_weights(network.of_genre[1], before.of_genre[1])


def test_the_other_genre_does_not_change_what_a_network_learns_but_for_the_statistics():
    changed = songs(1)
    changed.arrays[5] = changed.arrays[5][::-1].copy()  # equal statistics, another song of blues
    one, _ = trained(setup_of())
    other, _ = trained(replace(setup_of(), training=changed))
    assert equal_weights(one.of_genre[0], other.of_genre[0])
    assert not equal_weights(one.of_genre[1], other.of_genre[1])


def test_the_losses_of_an_epoch_are_means_over_crops_and_genres():
    _, result = trained(setup_of())
    for row in result.curves:
        for side in ("train", "validation"):
            of_genres = [row[f"{side}_loss_{name}"] for name in GENRES]
            assert row[f"{side}_loss"] == pytest.approx(np.mean(of_genres))


def test_a_learning_rate_of_almost_zero_shows_the_loss_of_the_first_weights():
    setup = setup_of(training={"learning_rate": 1e-12, "epochs": 1, "crops_per_track": 40})
    network, result = trained(setup)
    for genre, name in enumerate(GENRES):
        errors = [
            network.errors(np.asarray(setup.training.arrays[track], np.float32))[genre]
            for track in setup.training.of_genre(genre)
        ]
        assert result.curves[0][f"train_loss_{name}"] == pytest.approx(np.mean(errors), rel=0.2)


def test_the_samples_are_the_same_crops_at_each_epoch():
    _, result = trained(setup_of())
    first, last = result.samples[0], result.samples[-1]
    assert first.values.shape == (6, 4 * SHAPE.frames, SHAPE.bins)
    assert first.values.dtype == np.float16
    assert first.genres.tolist() == [0, 0, 0, 1, 1, 1]
    assert first.tracks.tolist() == last.tracks.tolist() == [0, 1, 2, 3, 4, 5]
    assert first.starts.tolist() == last.starts.tolist() == [4, 4, 4, 7, 7, 7]
    assert not np.array_equal(first.values, last.values)


@pytest.mark.parametrize("lstm", LSTM)
def test_each_network_learns_to_recreate_its_own_genre_better_than_the_other(lstm):
    training = {"epochs": 12, "crops_per_track": 60, "learning_rate": 5e-3, "batch_size": 16}
    network, result = trained(setup_of(training=training), lstm=lstm)
    losses = [row["validation_loss"] for row in result.curves]
    assert losses[-1] < 0.5 * losses[0]
    unseen = songs(7)
    for array, genre in zip(unseen.arrays, unseen.genres, strict=True):
        errors = network.errors(np.asarray(array, np.float32))
        assert errors[genre] < 0.7 * errors[1 - genre]


def test_songs_shorter_than_a_crop_are_repeated():
    short = GenreTracks([array[:3] for array in songs(1).arrays], songs(1).genres)
    _, result = trained(replace(setup_of(), training=short, validation=short))
    assert set(result.samples[0].starts.tolist()) == {0}


def test_genres_without_recordings():
    metal = GenreTracks(songs(2).arrays[:3], songs(2).genres[:3])
    with pytest.raises(UserError, match="no recording to learn from: blues"):
        trained(replace(setup_of(), training=metal))
    with pytest.raises(UserError, match="no recording is set aside"):
        trained(replace(setup_of(), validation=GenreTracks([], np.empty(0, np.int64))))
    _, result = trained(replace(setup_of(), validation=metal))
    assert "validation_loss_blues" not in result.curves[0]
    assert any("blues has no validation recording" in note for note in result.notes)


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([0.9, 0.5, 0.4], None),
        ([0.9, 0.5, 0.6], ["fell and then rose again", "0.500 at its lowest (epoch 2)", "Lower"]),
        ([0.5, 0.6, 0.7], ["metal did not fall", "Change training.learning_rate"]),
        ([0.5, 0.499], ["metal did not fall: 0.500 after epoch 1", "0.499 after epoch 2"]),
        ([0.5], None),
    ],
)
def test_the_notes_say_where_the_validation_loss_does_not_fall(losses, words):
    trainer = RecreationTrainer(network_of(), setup_of())
    rows = [{"validation_loss_metal": x, "validation_loss_blues": x} for x in losses]
    notes = trainer.notes(rows)
    assert len(notes) == (0 if words is None else 2)
    for word in words or ():
        assert word in notes[0]
    assert trainer.notes([]) == []


def test_the_names_of_figures_are_ascii_and_differ():
    names = figure_names(["a b", "A-B", "a_b_2", "ü", "日本", "本日", ""])
    assert len(set(names)) == 7
    assert all(name.isascii() and name.replace("_", "").isalnum() for name in names)


def test_the_end_of_an_epoch_draws_nothing():
    trainer = RecreationTrainer(network_of(), setup_of())
    before = torch.get_rng_state()
    with torch.no_grad():
        trainer.end_epoch(1)
    assert torch.equal(torch.get_rng_state(), before)
