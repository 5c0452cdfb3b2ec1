"""Harmonic CNN: filters at a pitch and its overtones, whose width is learned."""

import torch
from torch import Tensor, nn

from melgraph.ml.models.base import InputShape
from melgraph.ml.models.tagger import HOP, N_FFT, SAMPLE_RATE, ConvBlock, Tagger, samples_of

BANDWIDTH_SLOPE, BANDWIDTH_OFFSET = 0.1079, 24.7  # Hz a Hz, Hz: Glasberg & Moore 1990
LOWEST = 24  # MIDI number of C1, the lowest pitch of the filters
LEAST_FRAMES = 2**5 * 3**2  # what the pooling makes one step of


class HarmonicCNN(Tagger):
    """Won et al. 2020, "Data-driven harmonic filters for audio representation learning".

    Triangular band-pass filters lie at every half of a semitone above C1 and at the overtones of
    each, one channel per harmonic. Their bandwidth is the critical bandwidth of hearing, divided by
    a learned Q. Seven blocks of convolutions, five of them residual, read the harmonics of a pitch
    as channels of one position; the maximum over time goes through one hidden layer, which is the
    embedding.

    Args:
        shape: of the input; crops of 5 s in the paper, of 4.6 s at least.
        n_classes: tags or classes.
        channels: width of the first four blocks; doubled in the others.
        n_harmonics: of each pitch, itself included.
        filters_per_semitone: how close the pitches lie.
        dropout: probability of dropping a dimension of the embedding in training.
    """

    def __init__(
        self,
        shape: InputShape,
        n_classes: int,
        *,
        channels: int = 128,
        n_harmonics: int = 6,
        filters_per_semitone: int = 2,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(shape, n_classes, least_samples=samples_of(LEAST_FRAMES))
        self.harmonics = HarmonicDecibels(n_harmonics, filters_per_semitone)
        wide = 2 * channels
        self.blocks = nn.ModuleList(
            [
                ConvBlock(n_harmonics, channels, pool=2),
                *[_Residual(channels, pool=2) for _ in range(3)],
                ConvBlock(channels, wide, pool=2),
                *[_Residual(wide, pool=(2, 3)) for _ in range(2)],
            ]
        )
        self.hidden = nn.Linear(wide, wide)
        self.norm = nn.BatchNorm1d(wide)
        self.add_last_layer(wide, dropout)

    def embed(self, x: Tensor) -> Tensor:
        """Embeddings `[batch, embedding_dim]`, none below 0, of `[batch, 1, 1, sample]`."""
        x = self.harmonics(self.samples(x))
        for block in self.blocks:
            x = block(x)
        return torch.relu(self.norm(self.hidden(x.amax(dim=(2, 3)))))

    def layers(self) -> dict[str, nn.Module]:
        """The last convolution of each block, `conv1` to `conv7`, before its batch norm."""
        named = enumerate(self.blocks, start=1)
        return {f"conv{i}": getattr(b, "conv2", None) or b.get_submodule("conv") for i, b in named}


class HarmonicDecibels(nn.Module):
    """The harmonic spectrogram: `[batch, sample]` -> `[batch, harmonic, pitch, frame]`, dB, normed.

    Section 2.1 of the paper: the filter at f has the shape of a triangle and the bandwidth
    (0.1079 f + 24.7) / Q Hz; Q is learned.
    """

    frequency: Tensor
    bins: Tensor

    def __init__(self, n_harmonics: int, filters_per_semitone: int) -> None:
        super().__init__()
        from torchaudio.transforms import AmplitudeToDB, Spectrogram

        self.spectrum = Spectrogram(n_fft=N_FFT, hop_length=HOP)
        self.decibels = AmplitudeToDB()
        self.norm = nn.BatchNorm2d(n_harmonics)
        self.q = nn.Parameter(torch.ones(1))
        # up to the note whose last harmonic is nearest to half the rate
        nyquist = torch.tensor(SAMPLE_RATE / 2 / n_harmonics, dtype=torch.float64)
        highest = int(torch.round(69 + 12 * torch.log2(nyquist / 440)))
        self.n_pitches = (highest - LOWEST) * filters_per_semitone
        midi = LOWEST + torch.arange(self.n_pitches, dtype=torch.float64) / filters_per_semitone
        pitch = 440 * 2 ** ((midi - 69) / 12)
        harmonic = torch.arange(1, n_harmonics + 1, dtype=torch.float64)
        frequency = (harmonic[:, None] * pitch).flatten().float()  # harmonic by harmonic
        self.register_buffer("frequency", frequency, persistent=False)
        bins = torch.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1)
        self.register_buffer("bins", bins, persistent=False)

    def filters(self) -> Tensor:
        """The weights `[bin, harmonic * pitch]` at the present Q."""
        width = (BANDWIDTH_SLOPE * self.frequency + BANDWIDTH_OFFSET) / self.q
        distance = (self.bins[:, None] - self.frequency).abs()
        return torch.relu(1 - 2 * distance / width)

    def forward(self, samples: Tensor) -> Tensor:
        """`[batch, sample]` -> `[batch, harmonic, pitch, frame]`."""
        power = self.spectrum(samples)  # [batch, bin, frame]
        levels = (power.transpose(1, 2) @ self.filters()).transpose(1, 2)
        levels = levels.reshape(len(levels), -1, self.n_pitches, levels.shape[2])
        return self.norm(self.decibels(levels))


class _Residual(nn.Module):
    """Two convolutions and the input itself, then ReLU and max pooling."""

    def __init__(self, width: int, *, pool: int | tuple[int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(pool)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return self.pool(torch.relu(residual + x))
