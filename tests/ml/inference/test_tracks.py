import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from melgraph.ml.inference.tracks import crop_batch, embed_tracks, predict_tracks, segment_starts
from melgraph.ml.models import InputShape, build

N_MELS, CROP = 16, 20


@pytest.fixture
def model():
    model = build(
        "small_cnn", InputShape(1, N_MELS, CROP), n_classes=3, channels=(8, 8), embedding_dim=5
    )
    model.set_normalisation(np.full((1, N_MELS), -30.0), np.full((1, N_MELS), 10.0))
    return model


def tracks_of(*lengths):
    rng = np.random.default_rng(3)
    return [rng.normal(-30, 10, (n, N_MELS)).astype(np.float16) for n in lengths]


@given(n=st.integers(1, 400), crop=st.integers(1, 60))
def test_segments_cover_the_track_without_leaving_it(n, crop):
    starts = segment_starts(n, crop_frames=crop)
    covered = np.zeros(max(n, crop), dtype=int)
    for start in starts:
        covered[start : start + crop] += 1
    assert starts[0] == 0
    assert covered[:n].min() >= 1  # every frame is heard
    assert len(starts) == max(1, -(-n // crop))  # by as few segments as can be
    assert starts[-1] + crop == max(n, crop)  # the last ends with the track
    assert (np.diff(starts)[:-1] == crop).all()  # only the last may overlap


@given(n=st.integers(1, 400), crop=st.integers(1, 60), most=st.integers(1, 9))
def test_fewer_segments_are_a_spread_of_all(n, crop, most):
    every = segment_starts(n, crop_frames=crop)
    some = segment_starts(n, crop_frames=crop, max_segments=most)
    assert len(some) == min(most, len(every))
    assert set(some) <= set(every)
    assert (np.diff(some) > 0).all()


def test_crops_are_the_frames_asked_for_and_short_tracks_repeat():
    long, short = tracks_of(50, 7)
    x = crop_batch([long, short], np.array([0, 1]), np.array([11, 0]), crop_frames=CROP)
    assert x.shape == (2, 1, N_MELS, CROP)
    assert x.dtype == torch.float16
    np.testing.assert_array_equal(x[0, 0].numpy().T, long[11:31])
    np.testing.assert_array_equal(x[1, 0].numpy().T, np.concatenate([short, short, short])[:CROP])


def test_prediction_is_the_mean_over_the_segments(model):
    tracks = tracks_of(65, 20, 5, 41)
    probabilities = predict_tracks(model, tracks, batch_size=3)
    assert probabilities.shape == (4, 3)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    model.eval()
    pieces = np.stack([tracks[0][s : s + CROP] for s in (0, 20, 40, 45)]).astype(np.float32)
    with torch.inference_mode():
        each = torch.softmax(model(torch.from_numpy(pieces).transpose(1, 2)[:, None]), dim=1)
    np.testing.assert_allclose(probabilities[0], each.mean(dim=0), rtol=1e-4)


def test_embeddings_keep_the_segments_of_each_track(model):
    tracks = tracks_of(75, 20, 5, 31)
    got = embed_tracks(model, tracks, batch_size=3)
    assert got.segment_offsets.tolist() == [0, 4, 5, 6, 8]
    assert got.segment_starts.tolist() == [0, 20, 40, 55, 0, 0, 0, 11]
    assert got.vectors.shape == (4, 5)
    assert got.segment_vectors.shape == (8, 5)
    for t in range(4):
        own = got.segment_vectors[got.segment_offsets[t] : got.segment_offsets[t + 1]]
        np.testing.assert_allclose(got.vectors[t], own.mean(axis=0), rtol=1e-5)
    last = torch.from_numpy(tracks[3][11:31].astype(np.float32)).T[None, None]
    with torch.inference_mode():
        want = model.eval().embed(last)[0]
    np.testing.assert_allclose(got.segment_vectors[7], want, rtol=1e-4, atol=1e-5)


def test_a_track_does_not_depend_on_its_company_and_calls_repeat(model):
    tracks = tracks_of(65, 20, 5, 41, 130)
    together = predict_tracks(model, tracks, batch_size=4)
    assert predict_tracks(model, tracks, batch_size=4).tobytes() == (together.tobytes())
    for i, track in enumerate(tracks):
        alone = predict_tracks(model, [track], batch_size=4)
        np.testing.assert_allclose(alone[0], together[i], rtol=1e-4, atol=1e-6)


def test_the_mode_comes_back_and_nothing_is_learned(model):
    model.train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    seen = []
    predict_tracks(model, tracks_of(65, 20), batch_size=2, progress=lambda *a: seen.append(a))
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert seen == [(2, 5), (4, 5), (5, 5)]
    assert not torch.is_inference_mode_enabled()


def test_memory_maps_give_the_same(model, tmp_path):
    tracks = tracks_of(65, 33)
    flat = np.concatenate(tracks)
    np.save(tmp_path / "values.npy", flat)
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    views = [mapped[:65], mapped[65:]]
    one = predict_tracks(model, tracks)
    assert predict_tracks(model, views).tobytes() == one.tobytes()


def test_no_track_gives_no_row(model):
    assert predict_tracks(model, []).shape == (0, 3)
    assert embed_tracks(model, []).vectors.shape == (0, 5)


def test_an_empty_track_is_refused(model):
    with pytest.raises(ValueError, match="at least 1 frame"):
        predict_tracks(model, tracks_of(20, 0))
