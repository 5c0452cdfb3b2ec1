"""A vision transformer."""

from collections.abc import Sequence

from torch import nn

from melgraph.ml.errors import UserError
from melgraph.ml.models.base import InputShape
from melgraph.ml.models.timm_body import TimmClassifier


class ViT(TimmClassifier):
    """A vision transformer (Dosovitskiy et al. 2021, table 1; "tiny" of Touvron et al. 2021).

    By timm. The crop is scaled to the image that the position embeddings fit; published
    weights of another size are resampled to it.

    Args:
        shape: of the input; 1 or 2 channels.
        n_classes: classes of the output.
        variant: name of a vision transformer in timm.
        image_size: bins and frames the crop is scaled to: whole patches.
        dropout: probability of dropping a dimension of the embedding in training.
    """

    def __init__(
        self,
        shape: InputShape,
        n_classes: int,
        *,
        variant: str = "vit_tiny_patch16_224",
        image_size: Sequence[int] = (128, 128),
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            shape,
            n_classes,
            variant=variant,
            image_size=image_size,
            dropout=dropout,
            img_size=tuple(image_size),
        )

    def keep_scale(self) -> None:
        """Refused: the position embeddings fit images of one size.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"a vision transformer accepts images of {self.image_size[0]} x {self.image_size[1]} "
            "pixels only, because its position embeddings fit one size",
            where="the experiment of the recipe",
            remedy="use a convolutional network, resnet18 or efficientnet for example",
        )

    def layers(self) -> dict[str, nn.Module]:
        """Empty: after its one convolution it computes on sequences."""
        return {}
