"""The input of a model, as an experiment's TOML file has it. Imports no torch."""

from typing import Literal, Self

from pydantic import Field, model_validator

from melgraph.ml.specs.base import TomlTable

STFT = "stft_spectrograms"
ARRAYS = {"amplitude": "values", "phase": "phase"}  # channel of the STFT -> its array in the store


class InputSpec(TomlTable):
    """Which representation, which channels of it, in crops of which length."""

    representation: Literal[
        "mel_spectrograms",
        "audio_features",
        "mfcc",
        "stft_spectrograms",
        "waveforms",
        "waveforms_32k",
    ] = Field(default="mel_spectrograms", description="What is read of each track.")
    channels: tuple[Literal["amplitude", "phase"], ...] = Field(
        default=("amplitude",), description="Channels of `stft_spectrograms`: one, or both."
    )
    crop_s: float = Field(
        default=3.0,
        gt=0,
        le=120,
        description="Length of a crop in training and in use, seconds. Tabular features have none.",
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
        """The arrays of the spectrogram store that hold the channels."""
        return tuple(ARRAYS[channel] for channel in self.channels)
