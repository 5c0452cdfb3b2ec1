"""The base of the architectures from timm: the crop as an image, a body, a linear head."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

from melgraph.ml.models.base import Classifier, InputShape


class TimmClassifier(Classifier):
    """A timm model without its head, on the crop as an image, and a linear head.

    Args:
        shape: of the input; its channels are those of the image.
        n_classes: classes of the output.
        variant: name of the model in timm, whose published weights fit it.
        image_size: bins and frames the crop is scaled to (bilinear, antialiased); empty: as it is.
        dropout: probability of dropping a dimension of the embedding in training.
        body_options: further arguments of `timm.create_model`.
    """

    def __init__(
        self,
        shape: InputShape,
        n_classes: int,
        *,
        variant: str,
        image_size: Sequence[int],
        dropout: float,
        **body_options: Any,
    ) -> None:
        super().__init__(shape, n_classes)
        import timm

        if shape.bins < 2 or shape.frames < 2:
            raise self.cannot_take(
                "an image of at least 2 bins and 2 frames",
                'set input = { representation = "mel_spectrograms" }, or another architecture',
            )
        self.variant, self.image_size = variant, tuple(image_size)
        self._ratio: tuple[float, float] | None = None  # of an image to the crop, by `keep_scale`
        self.body: Any = timm.create_model(
            variant, pretrained=False, in_chans=shape.channels, num_classes=0, **body_options
        )
        self.embedding_dim = int(self.body.num_features)  # type: ignore[arg-type]
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.embedding_dim, n_classes)

    def embed(self, x: Tensor) -> Tensor:
        """Embeddings `[batch, embedding_dim]` of `[batch, channel, bin, frame]`."""
        x = self.normalise(x)
        size = self._size_of_image(x.shape[2], x.shape[3])
        if tuple(x.shape[2:]) != size:
            x = F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)
        return self.body(x)

    def keep_scale(self) -> None:
        """Scale inputs of other sizes by the ratio of training; see `Classifier`."""
        if self.image_size:
            height, width = self.image_size
            self._ratio = (height / self.shape.bins, width / self.shape.frames)

    def _size_of_image(self, bins: int, frames: int) -> tuple[int, ...]:
        """Height and width of the image of an input."""
        if self._ratio is not None:
            return (max(1, round(bins * self._ratio[0])), max(1, round(frames * self._ratio[1])))
        return self.image_size or (bins, frames)

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits `[batch, class]` of embeddings `[batch, embedding_dim]`."""
        return self.head(self.dropout(embedding))
