import numpy as np
import pytest

from ml.errors import UserError
from ml.models import build, names
from ml.models.base import mel_statistics


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match=r"'resnet9000'(.|\n)*small_cnn"):
        build("resnet9000", n_mels=128, n_classes=4)


def test_unknown_option_lists_the_known_ones():
    with pytest.raises(UserError, match=r"'chanels'(.|\n)*channels"):
        build("small_cnn", n_mels=128, n_classes=4, chanels=(8, 16))


def test_every_name_builds_with_complete_options():
    for name in names():
        model = build(name, n_mels=128, n_classes=4)
        again = build(name, n_mels=128, n_classes=4, **model.options)
        assert again.options == model.options
        assert again.n_parameters == model.n_parameters


def test_small_cnn_options_and_size():
    model = build("small_cnn", n_mels=128, n_classes=10)
    assert 200_000 < model.n_parameters < 500_000
    narrow = build("small_cnn", n_mels=64, n_classes=3, channels=[4, 8], embedding_dim=7)
    assert narrow.options["channels"] == [4, 8]
    assert narrow.embedding_dim == 7
    assert list(narrow.layers()) == ["conv1", "conv2"]


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        (np.zeros(3), np.ones(4)),
        (np.zeros(4), np.array([1, 1, 0, 1.0])),
        (np.array([0, np.nan, 0, 0]), np.ones(4)),
    ],
)
def test_bad_normalisation_is_refused(mean, std):
    model = build("small_cnn", n_mels=4, n_classes=2, channels=(2,))
    with pytest.raises(ValueError, match=r"mean|std"):
        model.set_normalisation(mean, std)


def test_mel_statistics_are_those_of_all_frames():
    rng = np.random.default_rng(0)
    tracks = [rng.normal(-30, 12, (n, 6)).astype(np.float16) for n in (5, 90, 33)]
    for track in tracks:
        track[:, 5] = -100  # a band without signal
    mean, std = mel_statistics(tracks)
    frames = np.concatenate(tracks).astype(np.float64)
    np.testing.assert_allclose(mean, frames.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(std[:5], frames.std(axis=0)[:5], rtol=1e-5)
    assert std[5] == 1.0
    assert mean.dtype == std.dtype == np.float32


def test_mel_statistics_read_a_spread_of_many_tracks():
    tracks = [np.full((2, 3), float(i), dtype=np.float32) for i in range(11)]
    mean, _ = mel_statistics(tracks, max_tracks=3)
    np.testing.assert_allclose(mean, 5.0)  # tracks 0, 5 and 10


def test_mel_statistics_name_a_track_that_is_not_finite():
    tracks = [np.zeros((2, 3), dtype=np.float32) for _ in range(3)]
    tracks[1][1, 1] = np.nan
    with pytest.raises(UserError, match="spectrogram 1"):
        mel_statistics(tracks)
