"""Dense layers on tabular features."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from melgraph.ml.models.base import Classifier, InputShape


class Dense(Classifier):
    """Fully connected layers with ReLU and dropout on standardised tabular features.

    As "Music signal generation and classification" classifies GTZAN: means of chroma, centroid,
    bandwidth, roll-off, zero crossings and MFCC, standardised, through dense layers.

    Args:
        shape: of the input: features as bins, one frame.
        n_classes: classes of the output.
        widths: of the hidden layers; the last is the embedding.
        dropout: probability of dropping a hidden unit in training.
    """

    any_length = False

    def __init__(
        self,
        shape: InputShape,
        n_classes: int,
        *,
        widths: Sequence[int] = (512, 256, 128, 64),
        dropout: float = 0.3,
    ) -> None:
        super().__init__(shape, n_classes)
        if shape.frames != 1 or shape.channels != 1:
            raise self.cannot_take(
                "tabular features: one channel, one frame",
                'set input = { representation = "audio_features" }, or another architecture',
            )
        sizes = [shape.bins, *widths]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.embedding_dim = sizes[-1]
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.embedding_dim, n_classes)

    def embed(self, x: Tensor) -> Tensor:
        """Embeddings `[batch, embedding_dim]`, none below 0, of `[batch, 1, feature, 1]`."""
        x = self.normalise(x)[:, 0, :, 0]  # [batch, feature]
        for layer in self.hidden:
            x = self.dropout(torch.relu(layer(x)))
        return x

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits `[batch, class]` of embeddings `[batch, embedding_dim]`."""
        return self.head(embedding)

    def layers(self) -> dict[str, nn.Module]:
        """Empty: there are no convolutions."""
        return {}
