"""The input of a model, as an experiment's TOML file has it. Imports no torch."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from melgraph.ml.errors import UserError
from melgraph.ml.specs.base import TomlTable, later_key

STFT, FEATURES = "stft_spectrograms", "audio_features"
AMPLITUDE, PHASE = "amplitude", "phase"
ARRAYS = {AMPLITUDE: "values", PHASE: "phase"}  # channel of the STFT -> its array in the store
IMAGES_OF = {AMPLITUDE: 1, PHASE: 2}  # channel of the STFT -> images that show it


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
    image: int | None = later_key(
        None,
        since="0.2",
        ge=8,
        le=2048,
        description="Side of the square images that a crop of `stft_spectrograms` becomes, pixels: "
        "one of the amplitude, two of the phase. Absent: the crop as it is stored.",
    )
    columns: tuple[str, ...] = later_key(
        (),
        since="0.2",
        description="Columns of `audio_features` that are used, `*` stands for any letters. "
        "Empty: all.",
    )

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        if self.representation != STFT and self.channels != (AMPLITUDE,):
            raise ValueError(f"only {STFT} have channels to choose from")
        if not self.channels or len(set(self.channels)) < len(self.channels):
            raise ValueError("channels must name amplitude, phase or both, each once")
        if self.representation != STFT and self.image is not None:
            raise ValueError(f"only {STFT} become images")
        if self.representation != FEATURES and self.columns:
            raise ValueError(f"only {FEATURES} have columns to choose from")
        return self

    @property
    def arrays(self) -> tuple[str, ...]:
        """The arrays of the spectrogram store that hold the channels."""
        return tuple(ARRAYS[channel] for channel in self.channels)

    @property
    def n_channels(self) -> int:
        """Channels of the crop that a model is given."""
        if self.image is None:
            return len(self.channels)
        return sum(IMAGES_OF[channel] for channel in self.channels)

    def has_wrapped_phase(self) -> bool:
        """Whether a model is given the phase in wrapped radians, which no network can average."""
        return PHASE in self.channels and self.image is None

    def select(self, names: Sequence[str]) -> list[int]:
        """The numbers of the columns to use, in the order of `names`.

        Args:
            names: of all columns of the tabular features.

        Raises:
            UserError: an entry of `columns` matches none of the names.
        """
        for pattern in self.columns:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise UserError(
                    f"no column of {FEATURES} matches {pattern!r}",
                    where="input.columns of the experiment",
                    remedy=f"use some of: {', '.join(names)}",
                )
        patterns = self.columns or ("*",)
        return [
            number
            for number, name in enumerate(names)
            if any(fnmatchcase(name, pattern) for pattern in patterns)
        ]

    def description(self) -> dict[str, Any]:
        """The keys for the description in a checkpoint; read them back with `of_description`."""
        return self.dump_for_version(mode="json")

    @classmethod
    def of_description(cls, described: Mapping[str, Any]) -> Self:
        """The input that the description in a checkpoint names."""
        return cls.model_validate({k: v for k, v in described.items() if k in cls.model_fields})
