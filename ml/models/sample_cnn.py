"""Sample-level CNN: filters of three samples, ten times over."""

from collections.abc import Sequence

from torch import Tensor, nn

from melgraph.ml.models.base import InputShape
from melgraph.ml.models.tagger import ConvBlock, Tagger, convolutions

WIDTHS = (128, 128, 128, 256, 256, 256, 256, 256, 256, 512, 512)
LEAST_SAMPLES = 3**10  # each of ten layers leaves a third: 59,049 samples, 3.69 s


class SampleCNN(Tagger):
    """Lee et al. 2017, "Sample-level deep convolutional neural networks for music auto-tagging".

    The 3^9 model of their table 1: a first convolution of 3 samples in steps of 3, nine of 3 with
    max pooling by 3, and one of 1, each with batch norm and ReLU. What remains of 59,049 samples is
    one position of 512 channels, the embedding.

    Args:
        shape: of the input; crops of 59,049 samples in the paper, and at least.
        n_classes: tags or classes.
        channels: width of each of the eleven layers.
        dropout: probability of dropping a dimension of the embedding in training.
    """

    def __init__(
        self,
        shape: InputShape,
        n_classes: int,
        *,
        channels: Sequence[int] = WIDTHS,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(shape, n_classes, least_samples=LEAST_SAMPLES)
        widths = [1, *channels]
        last = len(channels) - 1
        self.blocks = nn.ModuleList(
            ConvBlock(
                widths[i],
                widths[i + 1],
                1 if i == last else 3,
                stride=3 if i == 0 else 1,
                pool=1 if i in (0, last) else 3,
                dimensions=1,
            )
            for i in range(len(channels))
        )
        self.add_last_layer(widths[-1], dropout)

    def embed(self, x: Tensor) -> Tensor:
        """Embeddings `[batch, embedding_dim]`, none below 0, of `[batch, 1, 1, sample]`."""
        x = self.samples(x)[:, None]
        for block in self.blocks:
            x = block(x)
        return x.amax(dim=2)  # of one position, where the crop is of the paper's length

    def layers(self) -> dict[str, nn.Module]:
        """The convolutions `conv1` to `conv11`, before batch norm and ReLU."""
        return convolutions(self.blocks)
