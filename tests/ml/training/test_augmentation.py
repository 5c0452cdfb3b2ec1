"""Augmentations: what respects time keeps the order of events, and all keep a crop a crop."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.errors import UserError
from melgraph.ml.specs import load_specs
from melgraph.ml.specs.augmentation import TAKES
from melgraph.ml.specs.experiment import ExperimentSpec
from melgraph.ml.specs.training import TrainingConfig
from melgraph.ml.training import augmentation as module
from melgraph.ml.training.augmentation import augment, mixup

NAMES = sorted(TAKES)
BINS, FRAMES, CLASSES = 32, 40, 3
MEAN = torch.full((1, BINS), -40.0)


def batch(n=6, seed=0):
    noise = torch.randn(n, 1, BINS, FRAMES, generator=torch.Generator().manual_seed(seed))
    return noise * 10 - 40, torch.arange(n) % CLASSES


def done(names, x, y, seed=0, **changes):
    config = TrainingConfig(augment=names, **changes)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return augment(x, y, config, mean=MEAN, n_classes=CLASSES)


@pytest.mark.parametrize("name", NAMES)
def test_a_crop_stays_a_crop_and_a_target_a_target(name):
    x, y = batch()
    before = x.clone()
    found, targets = done((name,), x, y)
    assert found.shape == x.shape
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()
    assert not torch.equal(found, x)
    assert torch.equal(x, before)  # nothing is changed in place
    if name == "mixup":
        torch.testing.assert_close(targets.sum(dim=1), torch.ones(len(y)))
        assert (targets >= 0).all()
    else:
        assert torch.equal(targets, y)


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_decides(name):
    x, y = batch()
    one, same, other = (done((name,), x, y, seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_none_changes_nothing_and_draws_nothing():
    x, y = batch()
    state = torch.get_rng_state()
    found, targets = augment(x, y, TrainingConfig(augment=()), mean=MEAN, n_classes=CLASSES)
    assert found is x
    assert targets is y
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ["equaliser", "transpose", "tempo"])
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_what_respects_time_keeps_the_order_of_events(name, seed):
    """A crop that gets louder and louder still does."""
    ramp = torch.linspace(-60, -20, FRAMES).expand(4, 1, BINS, FRAMES).contiguous()
    found, _ = done((name,), ramp, torch.zeros(4, dtype=torch.int64), seed=seed)
    assert (found.diff(dim=3) >= -1e-4).all()


def test_the_negative_control_does_not():
    ramp = torch.linspace(-60, -20, FRAMES).expand(16, 1, BINS, FRAMES).contiguous()
    found, _ = done(("image",), ramp, torch.zeros(16, dtype=torch.int64))
    middle = found[:, :, 12:20, 12:28].mean(dim=2).diff(dim=2).mean(dim=(1, 2))
    assert (middle < 0).any()  # some play backwards
    assert (middle > 0).any()


def test_an_equaliser_is_the_same_in_every_frame():
    x, y = batch()
    gain = done(("equaliser",), x, y)[0] - x
    torch.testing.assert_close(gain, gain[..., :1].expand_as(gain), atol=1e-4, rtol=0)
    assert gain.abs().max() <= module.EQUALISER_DB + 1e-4
    assert len({round(float(g), 3) for g in gain[:, 0, 0, 0]}) > 1  # each crop its own


def test_a_transposition_moves_every_frame_by_the_same_bands():
    x, y = batch(12)
    found, _ = done(("transpose",), x, y)
    for crop, moved in zip(x, found, strict=True):
        shifts = [
            s
            for s in range(-module.TRANSPOSE_BANDS, module.TRANSPOSE_BANDS + 1)
            if torch.equal(
                moved[0, max(0, s) : BINS + min(0, s)], crop[0, max(0, -s) : BINS + min(0, -s)]
            )
        ]
        assert len(shifts) == 1
        outside = moved[0, : shifts[0]] if shifts[0] > 0 else moved[0, BINS + shifts[0] :]
        if shifts[0]:
            assert (outside == -40).all()


def test_a_slower_tempo_stretches_a_pulse():
    x = torch.full((64, 1, 1, FRAMES), -60.0)
    x[..., ::8] = 0.0
    found, _ = done(("tempo",), x, torch.zeros(64, dtype=torch.int64))
    line = torch.nn.functional.pad(found[:, 0, 0], (1, 1), value=-60.0)
    beats = ((line[:, 1:-1] > line[:, :-2]) & (line[:, 1:-1] >= line[:, 2:])).sum(dim=1)
    assert beats.max() <= 5  # of the five, none is new
    assert beats.float().mean() < 4.9  # and some come later than the crop ends
    assert found.amin() >= -60  # interpolated, never invented
    assert found.amax() <= 0


def test_mixup_blends_crops_and_targets_alike():
    x = torch.arange(8.0)[:, None, None, None].expand(8, 1, 4, 5).contiguous()
    y = torch.arange(8) % CLASSES
    found, targets = done(("mixup",), x, y, mixup_alpha=1.0)
    assert ((found >= 0) & (found <= 7)).all()
    assert (targets.amax(dim=1) < 0.999).any()
    one_hot = torch.nn.functional.one_hot(y, CLASSES).float()
    for crop, target in zip(found[:, 0, 0, 0], targets, strict=True):
        explained = [
            (a, b)
            for a in range(8)
            for b in range(8)
            for share in [(float(crop) - b) / (a - b) if a != b else 1.0]
            if -1e-5 <= share <= 1 + 1e-5
            and torch.allclose(share * one_hot[a] + (1 - share) * one_hot[b], target, atol=1e-4)
        ]
        assert explained


def test_masks_are_those_of_torchaudio_and_become_the_mean():
    x, y = batch()
    found, _ = done(("specaugment",), x, y, time_mask_frames=6, mel_mask_bands=5)
    masked = found != x
    assert torch.allclose(found[masked], torch.tensor(-40.0), atol=1e-4)
    assert torch.equal(done(("specaugment",), x, y, time_mask_frames=0, mel_mask_bands=0)[0], x)


def test_what_makes_no_sense_of_a_representation_is_refused_with_both_names(tmp_path):
    folder = tmp_path / "experiments"
    folder.mkdir()
    (folder / "mine.toml").write_text(
        'extends = "small-cnn"\ninput = { representation = "waveforms" }\n'
        'training = { augment = ["mixup", "transpose"] }\n'
    )
    with pytest.raises(UserError, match="transpose cannot be applied to waveforms"):
        load_specs(tmp_path)
    assert ExperimentSpec(
        title="t", dataset="d", model={"architecture": "x"},
        input={"representation": "waveforms"}, training={"augment": ["mixup"]},
    )  # fmt: skip


def test_a_soft_target_costs_what_the_hard_one_does():
    from melgraph.ml.training.optimisation import classification_loss

    logits = torch.randn(9, CLASSES, generator=torch.Generator().manual_seed(1))
    y = torch.arange(9) % CLASSES
    weights = torch.tensor([0.5, 1.0, 2.0])
    hard = classification_loss(logits, y, weights, smoothing=0.1)
    one_hot = torch.nn.functional.one_hot(y, CLASSES).float()
    soft = classification_loss(logits, one_hot, weights, smoothing=0.1)
    np.testing.assert_allclose(hard, soft, rtol=1e-5)


def test_mixed_tags_count_by_the_share_of_the_sound_they_come_with():
    """Each crop is its own tags, once in every bin: what is blended is what is to be answered."""
    tags = (torch.arange(6 * 4).reshape(6, 4) % 3 == 0).float()
    sounds = tags[:, None, :, None].expand(6, 1, 4, 5)
    torch.manual_seed(0)
    mixed, targets = mixup(sounds, tags, alpha=0.3, n_classes=4)
    torch.testing.assert_close(mixed[:, 0, :, 0], targets)
    assert ((targets > 0) & (targets < 1)).any()
    assert ((targets >= 0) & (targets <= 1)).all()
