"""An EfficientNet."""

from collections.abc import Sequence

from torch import nn

from melgraph.ml.models.base import InputShape
from melgraph.ml.models.timm_body import TimmClassifier


class EfficientNet(TimmClassifier):
    """An EfficientNet (Tan and Le 2019) on the crop as an image, by timm.

    The default is EfficientNet-Lite 0, which has no squeeze and excitation: a small network for
    processors without an accelerator.

    Args:
        shape: of the input; its channels are those of the image.
        n_classes: classes of the output.
        variant: name of an EfficientNet in timm, whose published weights fit it.
        image_size: bins and frames the crop is scaled to; empty: as it is.
        dropout: probability of dropping a dimension of the embedding in training.
    """

    def __init__(
        self,
        shape: InputShape,
        n_classes: int,
        *,
        variant: str = "tf_efficientnet_lite0",
        image_size: Sequence[int] = (),
        dropout: float = 0.2,
    ) -> None:
        super().__init__(shape, n_classes, variant=variant, image_size=image_size, dropout=dropout)

    def layers(self) -> dict[str, nn.Module]:
        """The last convolution of each stage, `conv1` to `conv9`, from the stem to the head."""
        ends = [self.body.conv_stem]
        for stage in self.body.blocks:
            convolutions = [m for m in stage.modules() if isinstance(m, nn.Conv2d)]
            ends.append(convolutions[-1])
        ends.append(self.body.conv_head)
        return {f"conv{number}": module for number, module in enumerate(ends, start=1)}
