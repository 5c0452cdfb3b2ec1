"""How to dream, as a recipe's TOML says it. Imports no torch.

"Dreaming in Music" dreams 6 octaves of scale 1.4 with 20 steps each. Scale and steps are so here
too; step size and limit it does not state. README.md has the measurements that chose the others.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class DreamConfig(BaseModel):
    """How to dream. The defaults leave a song that is recognisably the original; see README.md."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    objective: Literal["layer", "guide", "class"] = Field(
        default="layer",
        description="What is raised: the mean square of a layer's activation; its likeness to that "
        "of a guide song; or one class's logit.",
    )
    class_index: int | None = Field(
        default=None, ge=0, description="The class to raise; needed by the objective `class` only."
    )
    # the source has 6: its small octaves add broad areas of gain, which cost more of the song (SNR)
    # than they add activation
    octaves: int = Field(
        default=3, ge=1, le=16, description="Sizes dreamt at, the largest being the input."
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
    # with 0.1 dB and 12 dB a quarter of the edit lay at the limit, and the SNR was below -7 dB
    step_size_db: float = Field(
        default=0.035,
        gt=0.0,
        description="Mean absolute change of the spectrogram by one step, dB.",
    )
    jitter: int = Field(
        default=16,
        ge=0,
        description="Largest random shift in time before each step, frames: it keeps the grid of "
        "the network's strides out of the sound. Never in frequency, where it would put treble "
        "beside bass.",
    )
    smoothing: float = Field(
        default=1.0,
        ge=0.0,
        le=16.0,
        description="Standard deviation of the gradient's blur, bins; 0: none.",
    )
    keep_level: bool = Field(
        default=True,
        description="Take the mean out of each step, so that the dream is a pattern and not merely "
        "a louder sound, which networks answer to as well.",
    )
    max_delta_db: float = Field(
        default=6.0, gt=0.0, description="The edit never exceeds this, up or down, dB."
    )
