"""The CNN 64-128-256 on MFCC."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from melgraph.ml.models.base import Classifier, InputShape


class MfccCNN(Classifier):
    """Three blocks of conv 3x3, ReLU, max pool, batch norm; dense layer; head.

    "Music signal generation and classification" (CNN 64-128-256 on MFCC, 82 to 83 % on its own
    split). It flattens the last map; here the map is averaged over time, so that any length works,
    but not over the coefficients, as their order carries information.

    Args:
        shape: of the input: coefficients by frames.
        n_classes: classes of the output.
        channels: width of each block.
        embedding_dim: width of the dense layer, which is the embedding.
        dropout: probability of dropping a dimension of the embedding in training.
    """

    any_bins = False  # the dense layer reads each bin by itself

    def __init__(
        self,
        shape: InputShape,
        n_classes: int,
        *,
        channels: Sequence[int] = (64, 128, 256),
        embedding_dim: int = 64,
        dropout: float = 0.3,
    ) -> None:
        super().__init__(shape, n_classes)
        if shape.bins < 2 ** len(channels):
            raise self.cannot_take(
                f"at least {2 ** len(channels)} bins, which it halves {len(channels)} times",
                'set input = { representation = "mfcc" }, or fewer channels',
            )
        self.embedding_dim = embedding_dim
        widths = [shape.channels, *channels]
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "conv": nn.Conv2d(a, b, 3, padding=1),
                    "pool": nn.MaxPool2d(2, ceil_mode=True),
                    "norm": nn.BatchNorm2d(b),
                }
            )
            for a, b in itertools.pairwise(widths)
        )
        bins = shape.bins
        for _ in channels:
            bins = -(-bins // 2)
        self.hidden = nn.Linear(widths[-1] * bins, embedding_dim)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(embedding_dim, n_classes)

    def embed(self, x: Tensor) -> Tensor:
        """Embeddings `[batch, embedding_dim]`, none below 0, of `[batch, channel, bin, frame]`."""
        x = self.normalise(x)
        for block in self.blocks:
            assert isinstance(block, nn.ModuleDict)
            x = block["norm"](block["pool"](torch.relu(block["conv"](x))))
        x = x.mean(dim=3).flatten(1)  # [batch, channel * bin]
        return torch.relu(self.hidden(x))

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits `[batch, class]` of embeddings `[batch, embedding_dim]`."""
        return self.head(self.dropout(embedding))

    def layers(self) -> dict[str, nn.Module]:
        """The convolutions `conv1`, `conv2`, ..., before ReLU."""
        return {f"conv{i}": b.get_submodule("conv") for i, b in enumerate(self.blocks, start=1)}
