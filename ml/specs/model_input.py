"""What a model is given of each track, as an experiment's TOML says it. Imports no torch."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

STFT = "stft_spectrograms"
ARRAYS = {"amplitude": "values", "phase": "phase"}  # channel of the STFT -> its array in the store


class InputSpec(BaseModel):
    """Which representation, which channels of it, in crops of which length."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    representation: Literal[
        "mel_spectrograms", "audio_features", "mfcc", "stft_spectrograms", "waveforms"
    ] = Field(default="mel_spectrograms", description="What is read of each track.")
    channels: tuple[Literal["amplitude", "phase"], ...] = Field(
        default=("amplitude",), description="Of `stft_spectrograms`: one, or both."
    )
    crop_s: float = Field(
        default=3.0,
        gt=0,
        le=120,
        description="Seconds of a crop, in training and in use; tabular features have none.",
    )

    @model_validator(mode="after")
    def _channels_fit(self) -> Self:
        if self.representation != STFT and self.channels != ("amplitude",):
            raise ValueError(f"only {STFT} have channels to choose from")
        if not self.channels or len(set(self.channels)) < len(self.channels):
            raise ValueError("channels must name amplitude, phase or both, each once")
        return self

    @property
    def arrays(self) -> tuple[str, ...]:
        """The arrays of the store that are its channels."""
        return tuple(ARRAYS[channel] for channel in self.channels)
