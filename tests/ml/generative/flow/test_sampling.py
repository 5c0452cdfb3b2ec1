"""Compositions: lengths, determinism, continuation and messages."""

import numpy as np
import pytest
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.generative.flow.sampling import Guide, compose, integrate
from tests.ml.generative.flow.toys import awakened, toy, toy_network, toy_tracks

DRAW = {"steps": 3, "guidance": 2.0, "seed": 4}


@pytest.fixture
def network():
    network = awakened(toy_network())
    network.set_statistics(toy_tracks().arrays)
    return network


@pytest.mark.parametrize("frames", [1, 31, 32, 33, 48, 49, 130])
def test_any_length_within_the_levels_of_the_training(network, frames):
    composition = compose(network, "bass", frames, **DRAW)
    assert composition.shape == (frames, 16)
    assert composition.dtype == np.float32
    assert composition.min() >= network.limits[0]
    assert composition.max() <= network.limits[1]


def test_a_longer_composition_begins_as_a_shorter_one(network):
    longer = compose(network, "clicks", 90, **DRAW)
    assert np.array_equal(compose(network, "clicks", 40, **DRAW), longer[:40])


def test_equal_seeds_give_equal_bits_and_nothing_else_changes(network):
    before = {n: v.clone() for n, v in network.state_dict().items()}
    state = torch.get_rng_state()
    network.train()
    first = compose(network, "bass", 70, **DRAW)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(77)
    assert compose(network, "bass", 70, **DRAW).tobytes() == first.tobytes()
    assert network.training
    assert all(torch.equal(v, before[n]) for n, v in network.state_dict().items())
    assert not np.array_equal(compose(network, "bass", 70, **{**DRAW, "seed": 5}), first)
    assert not np.array_equal(compose(network, "clicks", 70, **DRAW), first)


def test_the_clamped_frames_are_the_known_frames_at_the_end_and_on_the_flow_before(network):
    noise, known = torch.randn(1, 1, 16, 32), torch.randn(1, 1, 16, 16)
    inputs = []
    handle = network.register_forward_pre_hook(
        lambda _, arguments: inputs.append((arguments[0].clone(), float(arguments[1][0])))
    )
    x = integrate(network, noise, torch.zeros(1).long(), Guide(4), known)
    handle.remove()
    assert torch.equal(x[..., :16], known)
    assert [t for _, t in inputs] == [0, 0.25, 0.5, 0.75]
    for at, t in inputs:
        torch.testing.assert_close(at[..., :16], (1 - t) * noise[..., :16] + t * known)


def test_one_euler_step_adds_the_velocity(network):
    noise, genre = torch.randn(2, 1, 16, 32), torch.tensor([0, 1])
    expected = noise + network(noise, torch.zeros(2), genre)
    torch.testing.assert_close(integrate(network, noise, genre, Guide(1)), expected)


def test_guidance_is_a_line_through_both_velocities(network):
    noise, genre = torch.randn(1, 1, 16, 32), torch.zeros(1).long()
    without, with_genre, guided = (integrate(network, noise, genre, Guide(1, g)) for g in (0, 1, 3))
    torch.testing.assert_close(guided, without + 3 * (with_genre - without))


def test_the_seam_is_not_larger_than_other_changes():
    """With a velocity of zero every frame is noise, and no seam may stand out."""
    network = toy_network()
    network.set_statistics(toy_tracks().arrays)
    composition = compose(network, "bass", 32 + 16 * 40, steps=2, guidance=1.0, seed=0)
    changes = np.sqrt(np.square(np.diff(composition, axis=0)).mean(axis=1))
    seams = np.zeros(len(changes), bool)
    seams[31::16] = True
    assert changes[seams].mean() < 1.1 * changes[~seams].mean()


def test_a_prompt_decides_the_first_half_crop_only(network):
    prompt = toy(0, 60, 1).astype(np.float32)
    composition = compose(network, "bass", 40, prompt=prompt, **DRAW)
    assert composition.shape == (40, 16)
    assert np.array_equal(compose(network, "bass", 40, prompt=prompt[-16:], **DRAW), composition)
    assert not np.array_equal(compose(network, "bass", 40, **DRAW), composition)
    louder = compose(network, "bass", 40, prompt=prompt + 10, **DRAW)
    assert not np.array_equal(louder, composition)


@pytest.mark.parametrize("length", [1, 7])
def test_a_short_prompt_is_continued_too(network, length):
    composition = compose(network, "bass", 50, prompt=toy(0, length, 1), **DRAW)
    assert composition.shape == (50, 16)
    assert np.isfinite(composition).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"genre": "polka"}, "use one of bass, clicks"),
        ({"steps": 0}, "use 1 to 1000 steps"),
        ({"steps": 1001}, "use 1 to 1000 steps"),
        ({"frames": 0}, "use at least 1 frame"),
        ({"guidance": -1.0}, "a number from 0"),
        ({"guidance": float("nan")}, "a number from 0"),
        ({"prompt": np.zeros((5, 15))}, "16 bin"),
        ({"prompt": np.zeros((0, 16))}, "16 bin"),
        ({"prompt": np.full((5, 16), np.nan)}, "not finite"),
    ],
)
def test_messages(network, changes, message):
    with pytest.raises(UserError, match=message):
        compose(network, **{"genre": "bass", "frames": 10, **DRAW, **changes})
