"""ResNet-18."""

from collections.abc import Sequence

from torch import nn

from melgraph.ml.models.base import InputShape
from melgraph.ml.models.timm_body import TimmClassifier


class ResNet18(TimmClassifier):
    """ResNet-18 (He et al. 2016, table 1) on the crop as an image, by timm.

    "Dreaming in Music" trains it on 512 x 512 images of amplitude, phase, or both as two channels
    (83.5, 63.3, 81.5 % of four FMA genres on its own split).

    Args:
        shape: of the input; 1 or 2 channels.
        n_classes: classes of the output.
        image_size: bins and frames the crop is scaled to; empty: as it is.
        dropout: probability of dropping a dimension of the embedding in training.
    """

    def __init__(
        self,
        shape: InputShape,
        n_classes: int,
        *,
        image_size: Sequence[int] = (),
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            shape, n_classes, variant="resnet18", image_size=image_size, dropout=dropout
        )

    def layers(self) -> dict[str, nn.Module]:
        """The convolutions in order, `conv1` to `conv17`; those of the shortcuts are left out."""
        convolutions = [
            module
            for name, module in self.body.named_modules()
            if isinstance(module, nn.Conv2d) and "downsample" not in name
        ]
        return {f"conv{i}": module for i, module in enumerate(convolutions, start=1)}
