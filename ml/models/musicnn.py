"""Musicnn: filters shaped after timbre and rhythm, in front of a thin network."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from melgraph.ml.models.base import InputShape
from melgraph.ml.models.tagger import ConvBlock, MelDecibels, Tagger, samples_of


class Musicnn(Tagger):
    """Pons et al. 2018, "End-to-end learning for music audio tagging at scale"; Pons & Serra 2019.

    Vertical filters (0.7 and 0.4 of the mel bands high, 7 frames wide, the maximum over pitch)
    respond to timbre; horizontal ones (129, 65 and 33 frames, on the mean over the bands) for
    rhythm. Three 1-D convolutions with residuals follow; mean and maximum over time of all of it
    go through one hidden layer, which is the embedding.

    Args:
        shape: of the input; crops of 3 s in the paper.
        n_classes: tags or classes.
        timbre: width of each vertical filter bank.
        rhythm: width of each horizontal filter bank.
        back_end: width of the 1-D convolutions (64; 512 in the large model).
        hidden: width of the hidden layer (200; 500 in the large model).
        heights: of the vertical filters, mel bands.
        lengths: of the horizontal filters, frames.
        n_mels: mel bands.
        dropout: probability of dropping a dimension of the embedding in training.
    """

    def __init__(
        self,
        shape: InputShape,
        n_classes: int,
        *,
        timbre: int = 204,
        rhythm: int = 51,
        back_end: int = 64,
        hidden: int = 200,
        heights: Sequence[int] = (67, 38),
        lengths: Sequence[int] = (129, 65, 33),
        n_mels: int = 96,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(shape, n_classes, least_samples=samples_of(3))
        self.spectrogram = MelDecibels(n_mels)
        self.vertical = nn.ModuleList(_Vertical(timbre, height) for height in heights)
        self.horizontal = nn.ModuleList(
            ConvBlock(1, rhythm, length, dimensions=1) for length in lengths
        )
        front_end = timbre * len(heights) + rhythm * len(lengths)
        self.blocks = nn.ModuleList(
            ConvBlock(front_end if i == 0 else back_end, back_end, 7, dimensions=1)
            for i in range(3)
        )
        self.hidden = nn.Linear(2 * (front_end + 3 * back_end), hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.add_last_layer(hidden, dropout)

    def embed(self, x: Tensor) -> Tensor:
        """Embeddings `[batch, embedding_dim]`, none below 0, of `[batch, 1, 1, sample]`."""
        spectrogram = self.spectrogram(self.samples(x))
        over_bands = spectrogram.mean(dim=2)  # [batch, 1, frame]
        features = [filters(spectrogram) for filters in self.vertical]
        features += [filters(over_bands) for filters in self.horizontal]
        front_end = torch.cat(features, dim=1)  # [batch, channel, frame]
        first = self.blocks[0](front_end)
        second = self.blocks[1](first) + first
        third = self.blocks[2](second) + second
        everything = torch.cat([front_end, first, second, third], dim=1)
        pooled = torch.cat([everything.amax(dim=2), everything.mean(dim=2)], dim=1)
        return torch.relu(self.norm(self.hidden(pooled)))

    def layers(self) -> dict[str, nn.Module]:
        """The vertical filters, `timbre1` and on, before batch norm, ReLU and the maximum."""
        vertical = enumerate(self.vertical, start=1)
        return {f"timbre{i}": filters.get_submodule("conv") for i, filters in vertical}


class _Vertical(nn.Module):
    """Filters over a range of bands and 7 frames, and their maximum over all pitches."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, width, (height, 7), padding=(0, 3))
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x))).amax(dim=2)
