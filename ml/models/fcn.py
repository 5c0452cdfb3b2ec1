"""FCN: a fully convolutional tagger."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from melgraph.ml.models.base import InputShape
from melgraph.ml.models.tagger import MelDecibels, Tagger, convolutions, pooled_blocks, samples_of

POOLING = ((2, 4), (2, 4), (2, 4), (3, 5), (4, 4))  # (mel, frame) of each block


class FCN(Tagger):
    """FCN-5 of Choi et al. 2016, "Automatic tagging using deep convolutional neural networks".

    Five blocks of conv 3x3, batch norm, ReLU and max pooling (their table 1 for the pooling, 96 mel
    bands and 29 s, widths as Won et al. 2020 trained it), which leave one position, and one dense
    layer. The embedding is that one position.

    Args:
        shape: of the input; crops of 29 s in the paper, of 20.5 s at least.
        n_classes: tags or classes.
        channels: width of each of the five blocks.
        n_mels: mel bands.
        dropout: probability of dropping a dimension of the embedding in training.
    """

    def __init__(
        self,
        shape: InputShape,
        n_classes: int,
        *,
        channels: Sequence[int] = (64, 128, 128, 128, 64),
        n_mels: int = 96,
        dropout: float = 0.5,
    ) -> None:
        frames = math.prod(pool for _, pool in POOLING)
        super().__init__(shape, n_classes, least_samples=samples_of(frames))
        self.spectrogram = MelDecibels(n_mels)
        self.blocks = pooled_blocks(channels, POOLING)
        self.add_last_layer(channels[-1], dropout)

    def embed(self, x: Tensor) -> Tensor:
        """Embeddings `[batch, embedding_dim]`, none below 0, of `[batch, 1, 1, sample]`."""
        x = self.spectrogram(self.samples(x))
        for block in self.blocks:
            x = block(x)
        return x.amax(dim=(2, 3))  # of one position, where the crop is of the paper's length

    def layers(self) -> dict[str, nn.Module]:
        """The convolutions `conv1` to `conv5`, before batch norm and ReLU."""
        return convolutions(self.blocks)
