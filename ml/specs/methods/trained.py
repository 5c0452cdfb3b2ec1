"""The settings of the methods whose networks are generative models. Imports no torch."""

from typing import ClassVar, Literal

from pydantic import Field

from melgraph.ml.specs.methods.base import Recipe


class GenerativeRecipe(Recipe):
    """The keys of a recipe whose sounds a generative model makes."""

    kind: ClassVar[str]
    """The kind of generative model that the method needs."""

    model: str = Field(description="the generative model whose network is used")

    @property
    def generative_model(self) -> str | None:
        """The generative model whose network is used."""
        return self.model


class GenreTransferRecipe(GenerativeRecipe):
    """A genre transfer: an excerpt of one genre is moved towards another, by a CycleGAN."""

    kind = "cyclegan"
    method: Literal["genre_transfer"] = "genre_transfer"
    towards: str = Field(description="one of the two genres of the model; sources are of the other")
    max_delta_db: float = Field(
        24.0, gt=0.0, description="largest change of a pixel of the spectrogram, up or down, dB"
    )
    match_loudness: bool = Field(
        True,
        description="whether the new sound is made as loud as its source; without it, a drift of "
        "the level would count as a change of genre",
    )


class RecreationRecipe(GenerativeRecipe):
    """A recreation: the MFCC of an excerpt, recreated by the network of a genre, as sound."""

    kind = "recreation"
    method: Literal["recreation"] = "recreation"
    genre: str | None = Field(
        None, description="the genre whose network is used; absent: that of each source"
    )
    iterations: int = Field(
        8, ge=0, le=1000, description="iterations of fast Griffin-Lim, for the phase"
    )


class CompositionRecipe(GenerativeRecipe):
    """A composition: new spectrograms of a genre, from noise, as sound."""

    kind = "rectified_flow"
    method: Literal["composition"] = "composition"
    genre: str | None = Field(
        None, description="the genre of the compositions; absent: all genres of the model in turn"
    )
    steps: int = Field(
        32, ge=1, le=1000, description="steps from noise to a spectrogram; 24 to 48 are usual"
    )
    guidance: float = Field(
        2.0,
        ge=0.0,
        le=20.0,
        description="how strongly the genre is followed: 1 as it was learned, more exaggerates it",
    )
    iterations: int = Field(
        8, ge=0, le=1000, description="iterations of fast Griffin-Lim, for the phase"
    )
