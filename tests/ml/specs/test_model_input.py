"""What a model is given: the keys of `input`, and which of them fit together."""

import pytest
from pydantic import ValidationError

from melgraph.ml.errors import UserError
from melgraph.ml.features.track_features import feature_names
from melgraph.ml.specs import load_specs
from melgraph.ml.specs.experiment import ExperimentSpec
from melgraph.ml.specs.model_input import InputSpec

STFT = {"representation": "stft_spectrograms"}
FEATURES = {"representation": "audio_features"}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"channels": ("phase",)}, "only stft_spectrograms have channels"),
        ({**STFT, "channels": ("phase", "phase")}, "each once"),
        ({"image": 64}, "only stft_spectrograms become images"),
        ({**STFT, "image": 1}, "image"),
        ({"columns": ("rms_mean",)}, "only audio_features have columns"),
    ],
)
def test_keys_that_do_not_fit_are_refused(keys, message):
    with pytest.raises(ValidationError, match=message):
        InputSpec(**keys)


@pytest.mark.parametrize(
    ("channels", "image", "n_channels"),
    [
        (("amplitude",), None, 1),
        (("amplitude",), 64, 1),
        (("phase",), 64, 2),
        (("amplitude", "phase"), 64, 3),
        (("amplitude", "phase"), None, 2),
    ],
)
def test_the_phase_is_two_images(channels, image, n_channels):
    assert InputSpec(**STFT, channels=channels, image=image).n_channels == n_channels


def test_an_experiment_cannot_read_the_wrapped_phase():
    """Networks average, and the mean of -pi and pi, one angle, would be 0, the opposite one."""
    table = {"title": "t", "dataset": "genres", "model": {"architecture": "resnet18"}}
    phase = {**STFT, "channels": ("amplitude", "phase")}
    with pytest.raises(ValidationError, match="the mean of wrapped phases means nothing"):
        ExperimentSpec(**table, input=phase)
    assert ExperimentSpec(**table, input={**phase, "image": 64}).input.n_channels == 3


def test_columns_are_chosen_by_name_in_the_order_of_the_table():
    names = feature_names()
    means = load_specs().experiments["sources-dense"].input
    chosen = [names[number] for number in means.select(names)]
    assert len(chosen) == 25  # chroma, centroid, bandwidth, roll-off, crossings, 20 MFCC
    assert chosen[0] == "chroma_stft_mean"
    assert chosen[-1] == "mfcc_20_mean"
    assert not any("_var" in name for name in chosen)
    assert InputSpec(**FEATURES).select(names) == list(range(len(names)))


def test_a_column_that_does_not_exist_is_refused_by_name():
    with pytest.raises(UserError, match="no column of audio_features matches 'mfc_") as caught:
        InputSpec(**FEATURES, columns=("rms_mean", "mfc_*")).select(feature_names())
    assert "mfcc_01_mean" in caught.value.remedy


def test_the_description_in_a_checkpoint_brings_it_back():
    for spec in (InputSpec(), InputSpec(**STFT, channels=("phase",), image=24, crop_s=10.0),
                 InputSpec(**FEATURES, columns=("rms_*",))):  # fmt: skip
        described = spec.description()
        assert InputSpec.of_description({**described, "transform": {}}) == spec
    assert set(InputSpec().description()) == {"representation", "channels", "crop_s"}
