"""How a model is trained, as an experiment's TOML file has it. Imports no torch."""

from typing import Literal

from pydantic import Field

from melgraph.ml.specs.augmentation import Augmentation
from melgraph.ml.specs.base import TomlTable, later_key


class TrainingConfig(TomlTable):
    """How a model is trained. `InputSpec` has what it reads of each track.

    >>> TrainingConfig(epochs=3).learning_rate
    0.001
    """

    epochs: int = Field(
        default=25, ge=1, description="Largest number of epochs; early stopping may end before."
    )
    batch_size: int = Field(default=32, ge=1, description="Crops per optimiser step.")
    crops_per_track: int = Field(
        default=4, ge=1, description="Random crops of each track per epoch."
    )
    learning_rate: float = Field(default=1e-3, gt=0, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(
        default=1e-2, ge=0, description="Decay of weight matrices and kernels."
    )
    warmup: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the steps that raise the rate to its peak."
    )
    schedule: Literal["cosine", "constant"] = later_key(
        "cosine",
        since="0.2",
        description="The learning rate after the warm-up: half a cosine down to 0, or constant.",
    )
    gradient_clip: float = Field(default=1.0, gt=0, description="Largest L2 norm of the gradient.")
    label_smoothing: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of the target that is spread over all classes; of a tag's target, the "
        "share that is moved towards 1/2.",
    )
    class_balance: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Weight of a class in the loss: (1 / its training tracks) to this power. With "
        "0 every track counts the same, with 1 every class. The weight of a tag is (tracks without "
        "it / tracks with it) to this power where it is present, and 1 where it is absent.",
    )
    augment: tuple[Augmentation, ...] = Field(
        default=("specaugment",), description="Augmentations of the training crops, in this order."
    )
    mixup_alpha: float = Field(
        default=0.3,
        gt=0,
        description="mixup: the share of the first crop is drawn from Beta(alpha, alpha).",
    )
    time_mask_frames: int = Field(
        default=16,
        ge=0,
        description="SpecAugment: longest masked stretch of a crop, frames; 0 is off.",
    )
    mel_mask_bands: int = Field(
        default=12, ge=0, description="SpecAugment: widest masked block of mel bands; 0 is off."
    )
    patience: int | None = Field(
        default=8,
        ge=1,
        description="Stop after so many epochs without a lower validation loss; null: never.",
    )
    validation_segments: int | None = Field(
        default=10,
        ge=1,
        description="Largest number of segments of a validation track that are used; null: all.",
    )
    drop: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of the training tracks that is left out, the hardest first. A first "
        "training measures how hard they are.",
    )
    drop_by: Literal["aum", "loss", "forgetting", "random"] = Field(
        default="aum",
        description="Measure of hardness: a small area under the margin, a large loss, or many "
        "forgetting events; `random` leaves out random tracks, for comparison.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="Of the forward pass: auto is bfloat16 on CUDA, else float32."
    )

    def for_tags(self) -> "TrainingConfig":
        """The same settings for tracks with several labels.

        Label smoothing and class balance are then 0 unless the TOML file sets them. The tagging
        papers use neither, and as most tags are rare, either would distort the probabilities.
        """
        unset = {"label_smoothing", "class_balance"} - self.model_fields_set
        return self.model_copy(update=dict.fromkeys(sorted(unset), 0.0))
