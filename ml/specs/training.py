"""How a model is trained, as an experiment's TOML says it. Imports no torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from melgraph.ml.specs.augmentation import Augmentation


class TrainingConfig(BaseModel):
    """How a model is trained; what it is given of a track, `InputSpec` says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=25, ge=1, description="Most epochs; early stopping may end before.")
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
    gradient_clip: float = Field(default=1.0, gt=0, description="Largest L2 norm of the gradient.")
    label_smoothing: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of the target spread over all classes; of tags, drawn towards 1/2.",
    )
    class_balance: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="A class weighs (1 / its training tracks) to this power in the loss: 0 leaves "
        "imbalance as it is, 1 makes all classes count the same. A tag where it is weighs (tracks "
        "without it / tracks with it) to this power, 1 where it is not.",
    )
    augment: tuple[Augmentation, ...] = Field(
        default=("specaugment",), description="What is done to training crops, in this order."
    )
    mixup_alpha: float = Field(
        default=0.3, gt=0, description="mixup: how alike the two shares are; Beta(alpha, alpha)."
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
        description="Stop after so many epochs without a lower validation loss; null never.",
    )
    validation_segments: int | None = Field(
        default=10,
        ge=1,
        description="Most segments of a validation track that are heard; null for all.",
    )
    drop: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of the training tracks that is left out, the hardest first, after a "
        "first training has shown which these are.",
    )
    drop_by: Literal["aum", "loss", "forgetting", "random"] = Field(
        default="aum",
        description="What is hard: a small area under the margin, a large loss, to be forgotten "
        "often; or tracks at random, to compare with.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="Of the forward pass: auto is bfloat16 on CUDA, else float32."
    )

    def for_tags(self) -> "TrainingConfig":
        """The same recipe where tracks have several labels.

        Label smoothing and class balance are 0 there unless they were asked for: they are none of
        what the tagging papers do, and most tags are rare, so that either would make the
        probabilities those of another world.
        """
        unasked = {"label_smoothing", "class_balance"} - self.model_fields_set
        return self.model_copy(update=dict.fromkeys(sorted(unasked), 0.0))
