"""The settings of a deep dream, as a recipe's TOML file has them. Imports no torch.

"Dreaming in Music" dreams 6 octaves of scale 1.4 with 20 steps each. Scale and number of steps are
the same here. The source does not state step size and limit. `ml/generation/README.md` has the
measurements by which the other defaults were chosen.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from melgraph.ml.specs.base import TomlTable, later_key
from melgraph.ml.specs.methods.base import GuidedRecipe


class DreamConfig(TomlTable):
    """How to dream. With the defaults, the original song stays recognisable."""

    objective: Literal["layer", "guide", "class"] = Field(
        default="layer",
        description="What is raised: the mean square of a layer's activation; its likeness to that "
        "of a guide song; or one class's logit.",
    )
    class_index: int | None = Field(
        default=None, ge=0, description="The class to raise; needed by the objective `class` only."
    )
    # The source has 6. The small octaves add broad areas of gain, which lower the SNR by more than
    # they raise the activation.
    octaves: int = Field(
        default=3, ge=1, le=16, description="Number of sizes, the largest being the input."
    )
    octave_scale: float = Field(
        default=1.4, gt=1.0, le=4.0, description="Size ratio of two octaves."
    )
    smallest_octave: int = Field(
        default=24,
        ge=1,
        description="Octaves with fewer mel bands or frames than this are left out.",
    )
    steps: int = Field(default=20, ge=0, description="Steps of gradient ascent per octave.")
    # With 0.1 dB and 12 dB, a quarter of the edit was at the limit and the SNR was below -6 dB.
    step_size_db: float = Field(
        default=0.035,
        gt=0.0,
        description="Mean absolute change of the spectrogram by one step, dB.",
    )
    jitter: int = Field(
        default=16,
        ge=0,
        description="Largest random shift in time before each step, frames. It keeps the grid of "
        "the network's strides out of the sound. There is no shift in frequency, as it would mix "
        "treble and bass.",
    )
    smoothing: float = Field(
        default=1.0,
        ge=0.0,
        le=16.0,
        description="Standard deviation of the gradient's blur, bins; 0: none.",
    )
    keep_level: bool = Field(
        default=True,
        description="Subtract the mean of each step. Otherwise the edit also makes the sound "
        "louder, to which networks respond too.",
    )
    max_delta_db: float = Field(
        default=6.0, gt=0.0, description="Largest change of a bin, up or down, dB."
    )
    class_label: str | None = later_key(
        None, since="0.2", description="The class to raise, by its label instead of its number."
    )
    step_size_rad: float = later_key(
        0.005,
        since="0.2",
        gt=0.0,
        description="Phase only: mean absolute turn by one step, radians a frame.",
    )
    max_turn_rad: float = later_key(
        0.5,
        since="0.2",
        gt=0.0,
        le=3.1,
        description="Phase only: largest turn, radians a frame.",
    )
    step_share: float = later_key(
        0.02,
        since="0.2",
        gt=0.0,
        le=1.0,
        description="Waveforms only: size of one step beside the signal, a share of its RMS.",
    )
    below_signal_db: float = later_key(
        9.0,
        since="0.2",
        ge=0.0,
        le=60.0,
        description="Waveforms only: how far the edit stays below the signal, in each part of its "
        "spectrogram, dB.",
    )

    @model_validator(mode="after")
    def _class_is_named_once(self) -> Self:
        if self.class_index is not None and self.class_label is not None:
            raise ValueError("class_index and class_label: name the class in one of the two")
        return self


class DeepDreamRecipe(GuidedRecipe):
    """A deep dream: an excerpt is changed until a layer of a network is more active."""

    method: Literal["deep_dream"] = "deep_dream"
    experiment: str = Field(description="the trained experiment whose network is used")
    layer: str | None = Field(
        None, description="layer to dream, for the objectives 'layer' and 'guide'"
    )
    dream: DreamConfig = DreamConfig()

    @property
    def needs_guide(self) -> bool:
        """Whether the objective is the similarity to a guide song."""
        return self.dream.objective == "guide"

    @property
    def takes_guide(self) -> bool:
        """Other objectives use no guide song."""
        return self.needs_guide
