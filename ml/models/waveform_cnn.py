"""A 1-D CNN on the waveform."""

import itertools

import torch
from torch import Tensor, nn

from melgraph.ml.models.base import Classifier, InputShape


class WaveformCNN(Classifier):
    """M5 of Dai et al. 2017, "Very deep convolutional neural networks for raw waveforms", table 1.

    A first convolution of 80 samples and stride 4 works as a filter bank; three more of width 3
    follow, each with batch norm, ReLU and max pooling by 4; then the mean over time. Designed for
    8 kHz; at 16 kHz its first filters span 5 ms.

    Args:
        shape: of the input: one channel, one bin, the samples as frames.
        n_classes: classes of the output.
        width: channels of the first two blocks; doubled in each of the next two.
        dropout: probability of dropping a dimension of the embedding in training.
    """

    def __init__(
        self, shape: InputShape, n_classes: int, *, width: int = 128, dropout: float = 0.0
    ) -> None:
        super().__init__(shape, n_classes)
        if shape.bins != 1 or shape.channels != 1:
            raise self.cannot_take(
                "a waveform: one channel, one bin",
                'set input = { representation = "waveforms" }, or another architecture',
            )
        widths = [1, width, width, 2 * width, 4 * width]
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "conv": nn.Conv1d(a, b, 80, stride=4, padding=38)
                    if number == 0
                    else nn.Conv1d(a, b, 3, padding=1),
                    "norm": nn.BatchNorm1d(b),
                    "pool": nn.MaxPool1d(4, ceil_mode=True),
                }
            )
            for number, (a, b) in enumerate(itertools.pairwise(widths))
        )
        self.embedding_dim = widths[-1]
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.embedding_dim, n_classes)

    def embed(self, x: Tensor) -> Tensor:
        """Embeddings `[batch, embedding_dim]`, none below 0, of `[batch, 1, 1, sample]`."""
        x = self.normalise(x)[:, :, 0]  # [batch, 1, sample]
        if x.shape[2] < 8:  # the first convolution needs a little more than nothing
            x = nn.functional.pad(x, (0, 8 - x.shape[2]))
        for block in self.blocks:
            assert isinstance(block, nn.ModuleDict)
            x = block["pool"](torch.relu(block["norm"](block["conv"](x))))
        return x.mean(dim=2)

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits `[batch, class]` of embeddings `[batch, embedding_dim]`."""
        return self.head(self.dropout(embedding))

    def layers(self) -> dict[str, nn.Module]:
        """The convolutions `conv1` to `conv4`, before batch norm and ReLU."""
        return {f"conv{i}": b.get_submodule("conv") for i, b in enumerate(self.blocks, start=1)}
