"""The settings of an inversion, as a recipe's TOML file has them. Imports no torch."""

from typing import Literal

from pydantic import Field

from melgraph.ml.specs.base import TomlTable
from melgraph.ml.specs.methods.base import Recipe


class InversionConfig(TomlTable):
    """From which representation a sound comes back, and how."""

    representation: Literal["stft_spectrograms", "mel_spectrograms", "mfcc"] = Field(
        default="stft_spectrograms",
        description="What remains of the sound: the amplitude of its STFT, its log-mel "
        "spectrogram, or its MFCC.",
    )
    phase: Literal["none", "original"] = Field(
        default="none",
        description="Whether the phase is estimated (`none`), or is that of the original sound.",
    )
    iterations: int = Field(default=8, ge=0, le=1000, description="Iterations of fast Griffin-Lim.")
    # With 4 windows, the spectral convergence is about 3 dB worse after 8 iterations:
    # docs/results/inversion.md.
    overlap: Literal[4, 8, 16] = Field(
        default=8,
        description="Windows of 2048 samples over each sample: the hop is 2048 / overlap.",
    )
    n_mfcc: int = Field(default=20, ge=1, le=128, description="Number of MFCC.")


class InversionRecipe(Recipe):
    """An inversion: an excerpt is reduced to a representation, and turned back into sound."""

    method: Literal["inversion"] = "inversion"
    inversion: InversionConfig = InversionConfig()
