"""Sample-level CNN with squeeze and excitation, and residuals."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from melgraph.ml.models.base import InputShape
from melgraph.ml.models.sample_cnn import LEAST_SAMPLES, WIDTHS
from melgraph.ml.models.tagger import Tagger


class SampleCNNSE(Tagger):
    """Kim et al. 2018, "Sample-level CNN architectures for music auto-tagging using raw waveforms".

    The layers of the sample-level CNN as ReSE blocks (their figure 1d): two convolutions, a gate on
    each channel by its mean over time (squeeze and excitation), a residual. As Won et al. 2020
    trained it, the last layer alone is read, through one hidden layer, which is the embedding.

    Args:
        shape: of the input; crops of 59,049 samples in the paper, and at least.
        n_classes: tags or classes.
        channels: width of each of the eleven blocks.
        hidden: width of the hidden layer.
        dropout: probability of dropping a dimension of the embedding in training.
    """

    def __init__(
        self,
        shape: InputShape,
        n_classes: int,
        *,
        channels: Sequence[int] = WIDTHS,
        hidden: int = 512,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(shape, n_classes, least_samples=LEAST_SAMPLES)
        widths = [1, *channels]
        last = len(channels) - 1
        self.blocks = nn.ModuleList(
            _ReSE(
                widths[i],
                widths[i + 1],
                1 if i == last else 3,
                stride=3 if i == 0 else 1,
                pool=1 if i in (0, last) else 3,
            )
            for i in range(len(channels))
        )
        self.hidden = nn.Linear(widths[-1], hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.add_last_layer(hidden, dropout)

    def embed(self, x: Tensor) -> Tensor:
        """Embeddings `[batch, embedding_dim]`, none below 0, of `[batch, 1, 1, sample]`."""
        x = self.samples(x)[:, None]
        for block in self.blocks:
            x = block(x)
        return torch.relu(self.norm(self.hidden(x.amax(dim=2))))


class _ReSE(nn.Module):
    """Two convolutions, squeeze and excitation, a residual; then ReLU and max pooling."""

    def __init__(self, width_in: int, width: int, kernel: int, *, stride: int, pool: int) -> None:
        super().__init__()
        half = kernel // 2
        self.conv1 = nn.Conv1d(width_in, width, kernel, stride=stride, padding=half)
        self.norm1 = nn.BatchNorm1d(width)
        self.conv2 = nn.Conv1d(width, width, kernel, padding=half)
        self.norm2 = nn.BatchNorm1d(width)
        self.squeeze, self.excite = nn.Linear(width, width), nn.Linear(width, width)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or width_in != width:
            conv = nn.Conv1d(width_in, width, kernel, stride=stride, padding=half)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm1d(width))
        self.pool = nn.MaxPool1d(pool)

    def forward(self, x: Tensor) -> Tensor:
        features = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(features.mean(dim=2)))))
        return self.pool(torch.relu(features * gate[:, :, None] + self.shortcut(x)))
