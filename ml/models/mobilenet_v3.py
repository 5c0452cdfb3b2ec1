"""MobileNetV3 of EfficientAT: a small tagger of all sounds, trained on AudioSet."""

from typing import cast

import torch
from torch import Tensor, nn

from melgraph.ml.models.base import InputShape
from melgraph.ml.models.tagger import Tagger

RATE = 32000  # Hz
N_FFT, WINDOW, HOP = 1024, 800, 320  # samples
N_MELS, F_MAX = 128, 15000.0  # bands; Hz
PRE_EMPHASIS = 0.97
WIDTHS = (0.1, 0.2, 0.4, 0.5, 1.0, 2.0, 3.0, 4.0)  # that are published
NORM = {"eps": 1e-3, "momentum": 1e-2}
# (kernel, expanded channels, channels, squeeze and excitation, Hardswish, stride) at width 1
BLOCKS = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)


class MobileNetV3(Tagger):
    """MobileNetV3-Large (Howard et al. 2019) as EfficientAT trained it (Schmid et al. 2023).

    "Efficient large-scale audio tagging via transformer-to-CNN knowledge distillation": a log-mel
    spectrogram at 32 kHz, fifteen inverted residual blocks, the mean over all positions, and one
    hidden layer before the tags. The embedding is that mean.

    Args:
        shape: of the input, samples at 32 kHz; crops of 10 s in the paper.
        n_classes: tags or classes.
        width: factor of the width of every layer; the published mn04 has 0.4.
        dropout: probability of dropping a hidden unit in training.
    """

    sample_rate = RATE

    def __init__(
        self, shape: InputShape, n_classes: int, *, width: float = 0.4, dropout: float = 0.2
    ) -> None:
        super().__init__(shape, n_classes, least_samples=N_FFT)
        self.spectrogram = EmphasisedLogMel()
        first = channels_of(16, width)
        layers: list[nn.Module] = [_conv(1, first, 3, stride=2, hardswish=True)]
        before = first
        for kernel, expanded, out, excite, hardswish, stride in BLOCKS:
            widths = (before, channels_of(expanded, width), channels_of(out, width))
            layers.append(InvertedResidual(widths, kernel, stride, excite, hardswish))
            before = widths[2]
        layers.append(_conv(before, 6 * before, 1, hardswish=True))
        self.features = nn.Sequential(*layers)
        self.embedding_dim = 6 * before
        self.hidden = nn.Linear(self.embedding_dim, channels_of(1280, width))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.hidden.out_features, n_classes)

    def embed(self, x: Tensor) -> Tensor:
        """Embeddings `[batch, embedding_dim]` of `[batch, 1, 1, sample]`."""
        maps: Tensor = self.features(self.spectrogram(self.samples(x)))
        return maps.mean(dim=(2, 3))

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits `[batch, class]` of embeddings `[batch, embedding_dim]`."""
        hidden = nn.functional.hardswish(self.hidden(embedding))
        return cast(Tensor, self.head(self.dropout(hidden)))

    def layers(self) -> dict[str, nn.Module]:
        """The outputs of the fifteen blocks, `block1` to `block15`."""
        return {f"block{i}": self.features[i] for i in range(1, len(BLOCKS) + 1)}


class EmphasisedLogMel(nn.Module):
    """The log-mel spectrogram of EfficientAT.

    Pre-emphasis, the power of a centred STFT (a symmetric Hann window of 25 ms every 10 ms),
    triangles that are linear on the mel scale 1127 ln(1 + f / 700) and not normalised, and the
    natural logarithm, shifted and scaled.
    """

    window: Tensor
    fb: Tensor

    def __init__(self) -> None:
        super().__init__()
        from torchaudio.compliance.kaldi import get_mel_banks

        filters, _ = get_mel_banks(N_MELS, N_FFT, float(RATE), 0.0, F_MAX, 100.0, -500.0, 1.0)
        self.register_buffer("window", torch.hann_window(WINDOW, periodic=False))
        self.register_buffer("fb", nn.functional.pad(filters, (0, 1)))  # the highest bin has none

    def forward(self, samples: Tensor) -> Tensor:
        """`[batch, sample]` from -1 to 1 -> `[batch, 1, mel, frame]`."""
        emphasised = samples[:, 1:] - PRE_EMPHASIS * samples[:, :-1]
        spectrum = torch.stft(
            emphasised, N_FFT, HOP, WINDOW, self.window, center=True, return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        log_mel = (self.fb @ power + 1e-5).log()
        return (log_mel[:, None] + 4.5) / 5


class InvertedResidual(nn.Module):
    """Expand, filter each channel, excite, project; with a residual where the shape stays."""

    def __init__(
        self, widths: tuple[int, int, int], kernel: int, stride: int, excite: bool, hardswish: bool
    ) -> None:
        super().__init__()
        before, expanded, out = widths
        layers: list[nn.Module] = []
        if expanded != before:
            layers.append(_conv(before, expanded, 1, hardswish=hardswish))
        layers.append(
            _conv(expanded, expanded, kernel, stride=stride, groups=expanded, hardswish=hardswish)
        )
        if excite:
            layers.append(SqueezeExcitation(expanded))
        layers.append(_conv(expanded, out, 1))
        self.block = nn.Sequential(*layers)
        self.is_residual = stride == 1 and before == out

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, before, band, frame]` -> `[batch, out, band, frame]`, smaller by the stride."""
        out: Tensor = self.block(x)
        return out + x if self.is_residual else out


class SqueezeExcitation(nn.Module):
    """A gain per channel, from 0 to 1, computed from the mean of every channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        squeezed = _divisible(width / 4)
        self.fc1 = nn.Linear(width, squeezed)
        self.fc2 = nn.Linear(squeezed, width)

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, channel, band, frame]` -> the same shape."""
        gain = torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean(dim=(2, 3))))))
        return x * gain[:, :, None, None]


def channels_of(at_width_1: int, width: float) -> int:
    """The channels of a layer at another width: a multiple of 8."""
    return _divisible(at_width_1 * width)


def _divisible(value: float) -> int:
    """The nearest multiple of 8 that is at least 8, and not below 90 % of the value."""
    nearest = max(8, int(value + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * value else nearest


def _conv(
    before: int,
    out: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    hardswish: bool | None = None,
) -> nn.Sequential:
    """Convolution, batch norm, and Hardswish or ReLU; no activation for None."""
    layers: list[nn.Module] = [
        nn.Conv2d(before, out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out, eps=NORM["eps"], momentum=NORM["momentum"]),
    ]
    if hardswish is not None:
        layers.append(nn.Hardswish() if hardswish else nn.ReLU())
    return nn.Sequential(*layers)
