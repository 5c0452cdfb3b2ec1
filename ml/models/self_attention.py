"""Convolutions in front, self-attention over time behind."""

import torch
from torch import Tensor, nn

from melgraph.ml.models.base import InputShape
from melgraph.ml.models.tagger import MelDecibels, Tagger, samples_of

Stride = int | tuple[int, int]  # (mel, frame)
STRIDES: tuple[Stride, ...] = (2, 2, 2, (2, 1), (2, 1), (2, 1), (2, 1))  # of each block


class SelfAttention(Tagger):
    """Won et al. 2019, "Toward interpretable music tagging with self-attention".

    Seven residual blocks reduce 128 mel bands to one and eight frames to one step; a transformer
    encoder (post-norm, as BERT's) with a class token in front looks at all steps; a tanh of the
    token is the embedding. There are no position embeddings, as in the authors' code.

    Args:
        shape: of the input; crops of 15 s in the paper.
        n_classes: tags or classes.
        channels: width of the first blocks; doubled from the third on, which is also the
            transformer's width.
        depth: layers of the transformer.
        heads: of each.
        n_mels: mel bands.
        dropout: probability of dropping a dimension of the embedding in training.
    """

    def __init__(
        self,
        shape: InputShape,
        n_classes: int,
        *,
        channels: int = 128,
        depth: int = 2,
        heads: int = 8,
        n_mels: int = 128,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(shape, n_classes, least_samples=samples_of(3))
        self.spectrogram = MelDecibels(n_mels)
        widths = [1, channels, channels, *[2 * channels] * 5]
        self.blocks = nn.ModuleList(
            _Residual(widths[i], widths[i + 1], stride) for i, stride in enumerate(STRIDES)
        )
        width = widths[-1]
        self.token = nn.Parameter(torch.rand(width))
        self.encoder = nn.ModuleList(_attention_layer(width, heads) for _ in range(depth))
        self.pooler = nn.Linear(width, width)
        self.add_last_layer(width, dropout)

    def embed(self, x: Tensor) -> Tensor:
        """Embeddings `[batch, embedding_dim]` from -1 to 1, of `[batch, 1, 1, sample]`."""
        x = self.spectrogram(self.samples(x))
        for block in self.blocks:
            x = block(x)
        steps = x.mean(dim=2).transpose(1, 2)  # one band: its mean is itself
        tokens = self.token.expand(len(steps), 1, -1)
        steps = torch.cat([tokens, steps], dim=1)  # [batch, 1 + step, width]
        for layer in self.encoder:
            steps = layer(steps)
        return torch.tanh(self.pooler(steps[:, 0]))

    def layers(self) -> dict[str, nn.Module]:
        """The second convolution of each block, `conv1` to `conv7`, before its batch norm."""
        return {f"conv{i}": b.get_submodule("conv2") for i, b in enumerate(self.blocks, start=1)}


class _Residual(nn.Module):
    """Two convolutions and a convolved shortcut, which strides along."""

    def __init__(self, width_in: int, width: int, stride: Stride) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride=stride, padding=1)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(width)
        conv = nn.Conv2d(width_in, width, 3, stride=stride, padding=1)
        self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        residual = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(residual + self.shortcut(x))


def _attention_layer(width: int, heads: int) -> nn.TransformerEncoderLayer:
    """Dropout as the authors have it: 0.5 of the attention, 0.4 of what the two parts add."""
    layer = nn.TransformerEncoderLayer(
        width, heads, 4 * width, 0.4, "gelu", layer_norm_eps=1e-12, batch_first=True
    )
    layer.self_attn.dropout, layer.dropout.p = 0.5, 0.0
    return layer
