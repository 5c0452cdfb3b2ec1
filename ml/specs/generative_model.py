"""The specification of a generative model, one class for each kind. Imports no torch.

A generative model is an experiment whose network makes music instead of classifying it. It learns
only from the train side of its dataset. A share of these recordings, whole artists where possible,
is set aside to measure the validation loss.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from melgraph.ml.specs.base import TomlSpec, TomlTable
from melgraph.ml.specs.model_input import STFT, InputSpec


class GenerativeSpec(TomlSpec):
    """The keys that all kinds of generative models have."""

    kind: str
    dataset: str = Field(description="name of a dataset; only its train side is used")
    genres: tuple[str, ...] = Field(
        (), description="genres of the dataset that it learns; empty: all"
    )
    validation: float = Field(
        0.2,
        gt=0,
        le=0.5,
        description="share of the recordings of each genre on the train side that is set aside to "
        "measure the validation loss",
    )
    embedding: str = Field(
        "mn04-audioset",
        description="the tagger whose embeddings compare what the model makes with held-out "
        "recordings (kernel audio distance); it has no part in the training",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the weights and of all random draws")

    @model_validator(mode="after")
    def _each_genre_once(self) -> Self:
        if len(set(self.genres)) < len(self.genres):
            raise ValueError("genres must differ: one of them is named twice")
        return self

    @property
    def input(self) -> InputSpec:
        """The representation that it learns from, and the length of crops."""
        raise NotImplementedError

    @property
    def epochs(self) -> int:
        """The fixed budget of the training."""
        raise NotImplementedError


class CycleGanNetwork(TomlTable):
    """The sizes of the generators and discriminators of a CycleGAN."""

    width: int = Field(16, ge=2, le=128, description="Channels after the first convolution.")
    blocks: int = Field(4, ge=0, le=16, description="Residual blocks of a generator.")
    discriminator_width: int = Field(
        16, ge=2, le=128, description="Channels of the first convolution of a discriminator."
    )
    discriminator_layers: int = Field(
        3, ge=1, le=4, description="Convolutions of stride 2 of a discriminator."
    )


class CycleGanTraining(TomlTable):
    """How a CycleGAN is trained (Zhu et al. 2017, section 4 and appendix)."""

    epochs: int = Field(13, ge=1, le=100_000, description="Number of epochs.")
    crops_per_track: int = Field(
        1, ge=1, le=10**6, description="Crops per epoch of each recording of the larger genre."
    )
    learning_rate: float = Field(
        2e-4, gt=0, le=10, description="Rate of Adam, with betas 0.5 and 0.999."
    )
    cycle: float = Field(10.0, ge=0, description="Weight of the cycle loss.")
    identity: float = Field(
        5.0, ge=0, description="Weight of the identity loss: a song of the target stays as it is."
    )
    buffer: int = Field(
        50, ge=0, description="Generated images that the replay buffer keeps; 0: no buffer."
    )
    cycle_noise: float = Field(
        0.02,
        ge=0,
        description="Deviation of the noise that is added before the second generator, relative to "
        "the range of a pixel. It keeps information from being hidden in the first output.",
    )


class CycleGanSpec(GenerativeSpec):
    """A CycleGAN between two genres, on images of the amplitude of an STFT."""

    kind: Literal["cyclegan"] = "cyclegan"
    image: int = Field(256, ge=32, le=512, multiple_of=4, description="side of the images, pixels")
    crop_s: float = Field(10.0, ge=0.1, le=60, description="length of an image, seconds")
    network: CycleGanNetwork = CycleGanNetwork()
    training: CycleGanTraining = CycleGanTraining()

    @model_validator(mode="after")
    def _two_genres(self) -> Self:
        if len(self.genres) != 2:
            raise ValueError("genres must name two: the CycleGAN moves each towards the other")
        return self

    @property
    def input(self) -> InputSpec:
        """Images of the amplitude."""
        return InputSpec(representation=STFT, image=self.image, crop_s=self.crop_s)

    @property
    def epochs(self) -> int:
        """The fixed budget of the training."""
        return self.training.epochs


class RecreationNetwork(TomlTable):
    """The sizes of the network of each genre."""

    widths: tuple[Annotated[int, Field(ge=1, le=8192)], ...] = Field(
        (128, 64),
        min_length=1,
        max_length=6,
        description="Units of the dense layers of the encoder; the decoder has them in reverse.",
    )
    bottleneck: int = Field(8, ge=1, le=512, description="Units between encoder and decoder.")
    lstm: bool = Field(False, description="Whether an LSTM layer follows the encoder.")
    lstm_units: int = Field(64, ge=1, le=1024, description="Units of the LSTM layer.")


class RecreationTraining(TomlTable):
    """How the networks are trained ("Music signal generation and classification")."""

    epochs: int = Field(20, ge=1, le=100_000, description="Number of epochs.")
    batch_size: int = Field(32, ge=1, le=65536, description="Crops per step.")
    crops_per_track: int = Field(
        16, ge=1, le=10**6, description="Random crops of each recording per epoch."
    )
    learning_rate: float = Field(1e-4, gt=0, le=10, description="Rate of Adam.")


class RecreationSpec(GenerativeSpec):
    """A network for each genre that recreates the MFCC of its songs from few numbers."""

    kind: Literal["recreation"] = "recreation"
    crop_s: float = Field(3.0, ge=0.1, le=60, description="length of a crop, seconds")
    network: RecreationNetwork = RecreationNetwork()
    training: RecreationTraining = RecreationTraining()

    @property
    def input(self) -> InputSpec:
        """MFCC as they are stored."""
        return InputSpec(representation="mfcc", crop_s=self.crop_s)

    @property
    def epochs(self) -> int:
        """The fixed budget of the training."""
        return self.training.epochs


class CompositionNetwork(TomlTable):
    """The sizes of the U-Net."""

    width: int = Field(16, ge=8, le=256, multiple_of=8, description="Channels of the first level.")
    multipliers: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(
        (1, 2, 4, 8),
        min_length=1,
        max_length=5,
        description="Channels of each level, times `width`.",
    )
    blocks: int = Field(1, ge=1, le=4, description="Residual blocks per level.")
    patch: int = Field(
        2,
        ge=1,
        le=8,
        description="Side of the squares of the spectrogram that become channels of one pixel.",
    )


class CompositionTraining(TomlTable):
    """How the velocity of a rectified flow is learned."""

    epochs: int = Field(20, ge=1, le=100_000, description="Number of epochs.")
    steps_per_epoch: int = Field(100, ge=1, le=10**9, description="Optimiser steps of an epoch.")
    batch_size: int = Field(8, ge=1, le=65536, description="Crops per step.")
    learning_rate: float = Field(1e-3, gt=0, le=10, description="Rate of AdamW after the warm-up.")
    genre_dropout: float = Field(
        0.1, ge=0, lt=1, description="Share of the crops whose genre is hidden, for guidance."
    )
    ema: float = Field(
        0.995, ge=0, lt=1, description="Decay of the moving average of the weights, which is kept."
    )


class CompositionSpec(GenerativeSpec):
    """A rectified flow on log-mel spectrograms, conditioned on the genre."""

    kind: Literal["rectified_flow"] = "rectified_flow"
    frames: int = Field(
        128, ge=16, le=1024, multiple_of=16, description="frames of a crop; 43 are a second"
    )
    network: CompositionNetwork = CompositionNetwork()
    training: CompositionTraining = CompositionTraining()

    @property
    def input(self) -> InputSpec:
        """Log-mel spectrograms; the length of a crop is given in frames, by `frames`."""
        return InputSpec(crop_s=self.frames * 512 / 22050)

    @property
    def epochs(self) -> int:
        """The fixed budget of the training."""
        return self.training.epochs


GenerativeModelSpec = Annotated[
    CycleGanSpec | RecreationSpec | CompositionSpec, Field(discriminator="kind")
]
"""The specification of any kind of generative model."""
