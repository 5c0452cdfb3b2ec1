"""The settings of a style transfer, as a recipe's TOML file has them. Imports no torch.

"Dreaming in Music" follows Gatys, Ecker and Bethge (2016) with VGG-19 and alpha / beta = 1e-3.
`ml/generation/README.md` explains the settings.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from melgraph.ml.specs.base import TomlTable
from melgraph.ml.specs.methods.base import GuidedRecipe

EXPERIMENT = "experiment"
PUBLISHED_FEATURES = ("vgg16", "vgg19", "mn04")
"""Networks whose weights are files that other people published."""


class StyleTransferConfig(TomlTable):
    """How to move the style of one song towards that of another."""

    features: Literal["vgg16", "vgg19", "experiment", "mn04", "random_1d"] = Field(
        "vgg16",
        description="The network whose activations define content and style: VGG-16 or VGG-19 "
        "trained on ImageNet; the recipe's experiment; EfficientAT mn04; or one layer of random "
        "filters along time, with frequencies as channels.",
    )
    content_layers: tuple[str, ...] = Field(
        (), description="Layers that compare the content; empty: those chosen for the network."
    )
    style_layers: tuple[str, ...] = Field(
        (), description="Layers that compare the style; empty: those chosen for the network."
    )
    alpha_beta: float = Field(
        1e-3, ge=0.0, description="Weight of the content divided by the weight of the style."
    )
    rhythm: float = Field(
        0.0,
        ge=0.0,
        description="Weight of the term that keeps the rhythm of the source, relative to the "
        "weight of the style; 0: none.",
    )
    steps: int = Field(60, ge=0, description="Gradients that are computed for one sound.")
    optimiser: Literal["lbfgs", "adam"] = Field(
        "lbfgs", description="L-BFGS (Gatys et al.), or Adam with a rate of 0.05."
    )
    start: Literal["content", "noise"] = Field(
        "content", description="Where the optimisation starts: at the source, or at noise."
    )
    phase: Literal["original", "new"] | None = Field(
        None,
        description="The phase of the sound: that of the source, or a new one computed from the "
        "amplitude. Absent: original for a start at the content, new for a start at noise.",
    )
    max_delta_db: float = Field(
        24.0, gt=0.0, description="Largest change of a bin, up or down, for a start at the content."
    )
    image: int = Field(
        256,
        ge=32,
        le=1024,
        description="Rows of the pictures that VGG sees, and columns per 10 s.",
    )
    filters: int = Field(
        1024, ge=1, le=8192, description="Number of random filters of `random_1d`."
    )
    width: int = Field(11, ge=1, le=101, description="Width of the random filters, frames.")

    @property
    def has_new_phase(self) -> bool:
        """Whether the phase of the sound is computed from its amplitude."""
        return self.start == "noise" if self.phase is None else self.phase == "new"


class StyleTransferRecipe(GuidedRecipe):
    """A style transfer: the content of an excerpt with the style of a guide song."""

    method: Literal["style_transfer"] = "style_transfer"
    guide_of_another_label: bool = Field(
        True,
        description="where neither guide nor guide_label is set: the guide is a held-out track of "
        "the next label, in alphabetical order, after that of the source",
    )
    style: StyleTransferConfig = StyleTransferConfig()

    @model_validator(mode="after")
    def _experiment_if_needed(self) -> Self:
        is_needed = self.style.features == EXPERIMENT
        if is_needed != (self.experiment is not None):
            raise ValueError('experiment: name one for features = "experiment", and only for that')
        return self

    @property
    def needs_guide(self) -> bool:
        """A style transfer always needs a guide."""
        return True

    @property
    def has_guide(self) -> bool:
        """Whether the recipe names guides, or takes tracks of another label."""
        return super().has_guide or self.guide_of_another_label
