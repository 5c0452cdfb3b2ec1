"""CRNN: convolutions followed by a recurrent network."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from melgraph.ml.models.base import InputShape
from melgraph.ml.models.tagger import MelDecibels, Tagger, convolutions, pooled_blocks, samples_of

POOLING = ((2, 2), (3, 3), (4, 4), (4, 4))  # (mel, frame) of each block


class CRNN(Tagger):
    """Choi et al. 2017, "Convolutional recurrent neural networks for music classification".

    Four blocks of conv 3x3, batch norm, ReLU and max pooling, which leave one band and one step for
    every 96 frames; two layers of GRU; the last state is the embedding. Pooling and widths as Won
    et al. 2020 trained it.

    Args:
        shape: of the input; crops of 29 s in the paper, of 1.5 s at least.
        n_classes: tags or classes.
        channels: width of each of the four blocks.
        hidden: width of the GRU.
        n_mels: mel bands.
        dropout: probability of dropping a dimension of the embedding in training.
    """

    def __init__(
        self,
        shape: InputShape,
        n_classes: int,
        *,
        channels: Sequence[int] = (64, 128, 128, 128),
        hidden: int = 32,
        n_mels: int = 96,
        dropout: float = 0.5,
    ) -> None:
        frames = math.prod(pool for _, pool in POOLING)
        super().__init__(shape, n_classes, least_samples=samples_of(frames))
        self.spectrogram = MelDecibels(n_mels)
        self.blocks = pooled_blocks(channels, POOLING)
        self.gru = nn.GRU(channels[-1], hidden, num_layers=2, batch_first=True)
        self.add_last_layer(hidden, dropout)

    def embed(self, x: Tensor) -> Tensor:
        """Embeddings `[batch, embedding_dim]` from -1 to 1, of `[batch, 1, 1, sample]`."""
        x = self.spectrogram(self.samples(x))
        for block in self.blocks:
            x = block(x)
        states, _ = self.gru(x.mean(dim=2).transpose(1, 2))  # one band: its mean is itself
        return states[:, -1]

    def layers(self) -> dict[str, nn.Module]:
        """The convolutions `conv1` to `conv4`, before batch norm and ReLU."""
        return convolutions(self.blocks)
