import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from melgraph.ml.errors import UserError
from melgraph.ml.generation.deep_dream import dream, objective_value
from melgraph.ml.generation.objectives import Dreamer, class_number
from melgraph.ml.models import build
from melgraph.ml.models.base import Classifier, InputShape
from melgraph.ml.specs.methods.dream import DreamConfig

QUICK = DreamConfig(octaves=3, steps=6, step_size_db=0.5)


class TwoConvolutions(Classifier):
    """The interface of the models here, at its smallest; its ReLU works in place on purpose."""

    def __init__(self) -> None:
        super().__init__(InputShape(1, 64, 129), 3)
        with torch.random.fork_rng():
            torch.manual_seed(7)
            self.conv1 = nn.Conv2d(1, 6, 3, padding=1)
            self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
            self.head = nn.Linear(8, 3)
        self.dropout = nn.Dropout(0.5)
        tilt = np.linspace(-20, -60, 64)
        self.set_normalisation(mean=tilt[None], std=np.full((1, 64), 8.0))

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.max_pool2d(torch.relu_(self.conv1(self.normalise(x))), 4)
        x = torch.max_pool2d(torch.relu_(self.conv2(x)), 4)
        return self.dropout(x).mean(dim=(2, 3))

    def classify(self, embedding: torch.Tensor) -> torch.Tensor:
        return self.head(embedding)

    def layers(self) -> dict[str, nn.Module]:
        return {"conv1": self.conv1, "conv2": self.conv2}


@pytest.fixture
def model() -> TwoConvolutions:
    return TwoConvolutions()


def spectrogram(frames: int = 120, mels: int = 64, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    tilt = np.linspace(-20, -60, mels)
    return (rng.standard_normal((frames, mels)) * 8 + tilt).astype(np.float32)


@pytest.mark.parametrize("layer", ["conv1", "conv2"])
def test_the_layer_answers_more_strongly(model, layer):
    log_mel = spectrogram()
    result = dream(model, log_mel, layer=layer, config=QUICK, seed=0)
    assert result.delta_db.shape == log_mel.shape
    assert result.delta_db.dtype == np.float32
    assert result.after > 1.5 * result.before
    assert result.before == objective_value(model, log_mel, layer=layer, config=QUICK)
    assert result.after == objective_value(
        model, log_mel + result.delta_db, layer=layer, config=QUICK
    )


def test_every_octave_raises_the_objective_and_has_its_history(model):
    reports: list[tuple[int, int]] = []
    result = dream(
        model,
        spectrogram(),
        layer="conv2",
        config=QUICK,
        seed=0,
        progress=lambda done, total: reports.append((done, total)),
    )
    assert [(o.mels, o.frames) for o in result.octaves] == [(33, 61), (46, 86), (64, 120)]
    assert all(len(o.objective) == QUICK.steps + 1 for o in result.octaves)
    assert all(o.objective[-1] > o.objective[0] for o in result.octaves)
    assert reports == [(done, 18) for done in range(1, 19)]


def test_a_class_gets_a_higher_logit(model):
    config = DreamConfig(objective="class", class_index=2, octaves=2, steps=8, step_size_db=1.0)
    log_mel = spectrogram()
    result = dream(model, log_mel, config=config, seed=0)

    def logits(x: np.ndarray) -> torch.Tensor:
        model.eval()
        with torch.no_grad():
            return model(torch.from_numpy(x.T.copy())[None, None])[0]

    assert float(logits(log_mel + result.delta_db)[2]) == pytest.approx(result.after, abs=1e-5)
    assert result.after > result.before + 0.05


def test_a_guide_pulls_towards_itself(model):
    log_mel = spectrogram()
    guide = (-60 + 50 * np.eye(64, dtype=np.float32)[np.arange(90) % 64]).astype(np.float32)
    config = DreamConfig(objective="guide", octaves=2, steps=8, step_size_db=0.5)
    result = dream(model, log_mel, layer="conv2", guide=guide, config=config, seed=0)
    assert result.after > 1.2 * result.before
    unguided = config.model_copy(update={"objective": "layer"})
    plain = dream(model, log_mel, layer="conv2", config=unguided, seed=0).delta_db
    assert not np.array_equal(plain, result.delta_db)


@pytest.mark.parametrize("limit", [0.25, 3.0])
def test_the_edit_is_bounded(model, limit):
    config = DreamConfig(octaves=3, steps=10, step_size_db=1.0, max_delta_db=limit)
    delta = dream(model, spectrogram(), layer="conv1", config=config, seed=0).delta_db
    assert np.abs(delta).max() <= limit
    assert np.abs(delta).max() > 0.9 * limit


@pytest.mark.parametrize(("keep_level", "largest_mean"), [(True, 0.05), (False, 10.0)])
def test_a_dream_is_a_pattern_and_not_a_louder_sound(model, keep_level, largest_mean):
    config = QUICK.model_copy(update={"keep_level": keep_level, "max_delta_db": 40.0})
    loud = spectrogram() + 20  # a louder one still is what raises the activation most
    result = dream(model, loud, layer="conv1", config=config, seed=0)
    assert result.after > 1.1 * result.before
    assert 0.1 * largest_mean * (not keep_level) <= abs(result.delta_db.mean()) < largest_mean


def test_no_steps_no_edit(model):
    config = DreamConfig(steps=0)
    result = dream(model, spectrogram(), layer="conv1", config=config, seed=0)
    assert not result.delta_db.any()
    assert result.after == result.before > 0


def test_same_seed_same_bytes_and_the_callers_generator_is_untouched(model):
    state = torch.get_rng_state()
    first, again, other = (
        dream(model, spectrogram(), layer="conv2", config=QUICK, seed=seed) for seed in (5, 5, 6)
    )
    assert first.delta_db.tobytes() == again.delta_db.tobytes()
    assert first.octaves == again.octaves
    assert first.delta_db.tobytes() != other.delta_db.tobytes()
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("was_training", [True, False])
def test_the_model_is_left_as_it_was(model, was_training):
    model.train(was_training)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    dream(model, spectrogram(), layer="conv2", config=QUICK, seed=0)
    assert model.training == was_training
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(not module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("frames", [16, 17, 37, 301])
def test_any_length_the_network_accepts(model, frames):
    config = DreamConfig(octaves=6, steps=2, smallest_octave=1)
    result = dream(model, spectrogram(frames), layer="conv2", config=config, seed=0)
    assert result.delta_db.shape == (frames, 64)
    assert all(min(o.mels, o.frames) >= 16 for o in result.octaves)  # two poolings by 4


def test_no_octave_is_smaller_than_configured(model):
    config = DreamConfig(steps=1, smallest_octave=40)
    result = dream(model, spectrogram(), layer="conv1", config=config, seed=0)
    assert [o.mels for o in result.octaves] == [46, 64]


def test_a_spectrogram_that_is_too_short_is_refused(model):
    with pytest.raises(UserError, match="5 frames of 64 mel bands"):
        dream(model, spectrogram(5), layer="conv2", config=QUICK, seed=0)


def test_an_unknown_layer_is_refused_with_a_list_of_the_layers(model):
    with pytest.raises(UserError, match=r"no layer 'conv9'[\s\S]*conv1, conv2"):
        dream(model, spectrogram(), layer="conv9", config=QUICK, seed=0)


@pytest.mark.parametrize("objective", ["layer", "guide", "class"])
def test_a_missing_argument_of_an_objective_is_reported(model, objective):
    config = DreamConfig(objective=objective)
    layer = "conv1" if objective == "guide" else None
    missing = {"layer": "layer", "guide": "guide", "class": "class_index"}[objective]
    with pytest.raises(UserError, match=f"needs a {missing}"):
        dream(model, spectrogram(), layer=layer, config=config, seed=0)


def test_an_unknown_class_is_reported(model):
    config = DreamConfig(objective="class", class_index=3)
    with pytest.raises(UserError, match=r"no class 3[\s\S]*choose 0 to 2"):
        dream(model, spectrogram(), config=config, seed=0)


def test_a_dead_layer_is_reported(model):
    with torch.no_grad():
        model.conv2.weight.zero_()
        model.conv2.bias.zero_()
    with pytest.raises(UserError, match="the layer is dead"):
        dream(model, spectrogram(), layer="conv2", config=QUICK, seed=0)


def test_a_layer_that_does_not_depend_on_the_input_is_reported(model):
    with torch.no_grad():
        model.conv2.weight.zero_()
        model.conv2.bias.fill_(1.0)
    with pytest.raises(UserError, match="gradient is zero everywhere"):
        dream(model, spectrogram(), layer="conv2", config=QUICK, seed=0)


def test_broken_weights_are_reported(model):
    with torch.no_grad():
        model.conv1.weight[0] = float("nan")
    with pytest.raises(UserError, match="the objective is nan"):
        dream(model, spectrogram(), layer="conv2", config=QUICK, seed=0)


def test_a_gradient_that_is_not_finite_is_reported(model):
    class Root(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sqrt(0.0 * x)  # a finite value with an infinite slope

    model.head = Root()
    config = DreamConfig(objective="class", class_index=0, steps=1)
    with pytest.raises(UserError, match="gradient is not finite"):
        dream(model, spectrogram(), config=config, seed=0)


@pytest.mark.parametrize(
    ("log_mel", "message"),
    [
        (np.zeros((0, 64)), r"give \[at least 1 frame, 64 rows\]"),
        (np.zeros(64), r"give \[at least 1 frame, 64 rows\]"),
        (np.zeros((120, 96)), r"give \[at least 1 frame, 64 rows\]"),
        (np.full((120, 64), np.inf), "7680 values that are not finite"),
    ],
)
def test_spectrograms_that_do_not_fit_are_refused(model, log_mel, message):
    with pytest.raises(UserError, match=message):
        dream(model, log_mel.astype(np.float32), layer="conv1", config=QUICK, seed=0)


def test_an_octave_looks_to_the_network_like_the_music_it_was_shrunk_from(model):
    """The normalisation shrinks with the picture: a typical spectrogram stays typical."""
    typical = np.tile(np.linspace(-20, -60, 64), (120, 1)).astype(np.float32)
    half = np.linspace(0, 63, 33)
    shrunk = np.tile(np.interp(half, range(64), typical[0]), (61, 1)).astype(np.float32)
    dreamer = Dreamer(model)
    inputs: list[torch.Tensor] = []
    dreamer._network.conv1.register_forward_pre_hook(
        lambda _m, arguments: inputs.append(arguments[0])
    )
    for log_mel in (typical, shrunk):
        dreamer.logits(torch.from_numpy(log_mel.T.copy())[None, None])
    assert [tuple(x.shape[2:]) for x in inputs] == [(64, 120), (33, 61)]
    assert all(float(x.abs().max()) < 0.1 for x in inputs)  # standard deviations off the mean


OCTAVES = DreamConfig(octaves=3, steps=1, step_size_db=0.5)


@pytest.mark.parametrize("name", ["resnet18", "efficientnet"])
@pytest.mark.parametrize("image_size", [(), (48, 40)])
def test_a_network_that_scales_its_input_sees_another_picture_in_each_octave(name, image_size):
    """Octaves are scaled by the ratio of training, never to the one size of training."""
    model = build(name, InputShape(1, 96, 80), n_classes=2, image_size=image_size)
    first = model.body.conv1 if name == "resnet18" else model.body.conv_stem
    sizes: list[tuple[int, ...]] = []
    first.register_forward_pre_hook(lambda _m, inputs: sizes.append(tuple(inputs[0].shape[2:])))
    dreamer, shrunk = Dreamer(model), (1 / 1, 1 / 1.4, 1 / 1.4**2)
    for share in shrunk:
        dreamer.logits(torch.zeros(1, 1, round(96 * share), round(160 * share)))
    ratio = 1.0 if not image_size else 0.5
    assert sizes == [
        (round(round(96 * share) * ratio), round(round(160 * share) * ratio)) for share in shrunk
    ]
    with torch.inference_mode():  # the network itself still scales to its size
        model.eval()(torch.zeros(1, 1, 96, 160))
    assert sizes[-1] == (image_size or (96, 160))


def test_the_octaves_of_a_resnet_are_those_of_the_source():
    """512, 366, 261, ... for an image of 512; here a quarter of it."""
    model = build("resnet18", InputShape(1, 128, 128), n_classes=2)
    config = DreamConfig(octaves=4, steps=1)
    octaves = dream(model, spectrogram(128, 128), layer="conv13", config=config, seed=0).octaves
    assert [(o.mels, o.frames) for o in octaves] == [(47, 47), (65, 65), (91, 91), (128, 128)]


def test_a_vision_transformer_is_refused():
    model = build("vit", InputShape(1, 64, 64), n_classes=2, image_size=[32, 32])
    config = DreamConfig(objective="class", class_index=0)
    with pytest.raises(UserError, match="images of 32 x 32 pixels only"):
        dream(model, spectrogram(64), config=config, seed=0)


@pytest.mark.parametrize("name", ["mfcc_cnn", "conv_lstm"])
def test_a_dense_layer_over_bins_does_not_prevent_octaves(name):
    model = build(name, InputShape(1, 64, 65), n_classes=2)
    layer = next(iter(model.layers()))
    octaves = dream(model, spectrogram(120), layer=layer, config=OCTAVES, seed=0).octaves
    assert [o.mels for o in octaves] == [33, 46, 64]


@pytest.mark.parametrize("objective", ["layer", "class"])
def test_the_ends_of_an_excerpt_are_edited_as_if_the_sound_went_on(objective):
    """Of noise that becomes louder: rolled around, its ends would meet in a step."""
    model, frames, more = TwoConvolutions(), 160, 60
    config = DreamConfig(objective=objective, class_index=1 if objective == "class" else None)
    layer = None if objective == "class" else "conv2"
    edits, edits_of_longer = [], []
    for seed in range(3):
        loudness = np.linspace(-15, 15, frames + 2 * more)[:, None].astype(np.float32)
        longer = spectrogram(frames + 2 * more, seed=seed) + loudness
        excerpt = longer[more:-more]
        edits.append(dream(model, excerpt, layer=layer, config=config, seed=0).delta_db)
        long_edit = dream(model, longer, layer=layer, config=config, seed=0).delta_db
        edits_of_longer.append(long_edit[more:-more])
    few = frames // 20
    for ends in (slice(-few, None), slice(None, few)):
        size, of_longer = (
            float(np.abs(np.stack(e)[:, ends]).mean()) for e in (edits, edits_of_longer)
        )
        level, of_longer_level = (
            float(np.stack(e)[:, ends].mean()) for e in (edits, edits_of_longer)
        )
        assert size == pytest.approx(of_longer, rel=0.35)
        assert level == pytest.approx(of_longer_level, abs=0.7)


@pytest.mark.parametrize("frames", [200, 90])
def test_the_ends_of_stationary_noise_are_edited_like_its_middle(frames):
    edits = [
        dream(
            TwoConvolutions(), spectrogram(frames, seed=seed), layer="conv2",
            config=DreamConfig(), seed=seed,
        ).delta_db
        for seed in range(4)
    ]  # fmt: skip
    sizes = np.abs(np.stack(edits)).mean(axis=(0, 2))
    middle, few = sizes[frames // 4 : -frames // 4].mean(), frames // 20
    assert sizes[-few:].mean() == pytest.approx(middle, rel=0.25)
    assert sizes[:few].mean() == pytest.approx(middle, rel=0.25)


def test_the_label_of_a_class_is_its_number():
    assert class_number("rock", ["pop", "rock"]) == 1
    with pytest.raises(UserError, match=r"no class 'jazz'[\s\S]*pop, rock"):
        class_number("jazz", ["pop", "rock"])
    with pytest.raises(ValidationError, match="name the class in one of the two"):
        DreamConfig(objective="class", class_index=1, class_label="rock")


def test_a_misspelt_or_impossible_setting_is_refused():
    with pytest.raises(ValidationError, match="octave"):
        DreamConfig(octave=6)
    with pytest.raises(ValidationError, match="octave_scale"):
        DreamConfig(octave_scale=1.0)


def test_what_cannot_be_heard_is_not_edited(model):
    """Rows at the floor of the spectrogram, as above the highest frequency of an mp3."""
    mel = spectrogram()
    mel[:, 48:] = mel.max() - 90.0
    edit = dream(model, mel, layer="conv2", config=QUICK, seed=0).delta_db
    assert not edit[:, 52:].any()  # the octaves blur the border
    assert np.abs(edit[:, :46]).max() > 0.0
