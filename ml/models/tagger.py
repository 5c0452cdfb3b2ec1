"""The base of the taggers of the literature: a waveform at 16 kHz in, one logit a tag out."""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from melgraph.ml.models.base import Classifier, InputShape

SAMPLE_RATE = 16000  # Hz, of the taggers that Won et al. compared
FULL_SCALE = 32768.0  # of the stored samples; published weights expect samples from -1 to 1
N_FFT, HOP = 512, 256


class Tagger(Classifier):
    """A classifier of the waveform, as the papers on music tagging have them.

    Most follow Won et al. 2020, "Evaluation of CNN-based automatic music tagging models" (section
    3), who trained them all alike: 16 kHz, an STFT of 512 samples every 256, decibels, a batch
    norm instead of fixed statistics. MobileNetV3 has a front end of its own, at 32 kHz. A crop has
    the length that the paper gives. The prediction of a track is the mean of those of its crops.
    Outputs are logits: tags are not exclusive, so their probabilities are sigmoids; a model trained
    on one genre a track uses softmax.

    Args:
        shape: of the input: one channel, one bin, the samples as frames.
        n_classes: tags, or genres.
        least_samples: of a crop that leaves something to every layer.
    """

    any_length = False
    sample_rate = SAMPLE_RATE  # Hz, of the waveform that it takes
    learns_normalisation = False  # samples from -1 to 1, as published weights expect

    def __init__(self, shape: InputShape, n_classes: int, *, least_samples: int) -> None:
        super().__init__(shape, n_classes)
        remedy = 'set input = { representation = "waveforms", crop_s = ... }'
        if shape.bins != 1 or shape.channels != 1:
            raise self.cannot_take("a waveform: one channel, one bin", remedy)
        if shape.frames < least_samples:
            seconds = least_samples / self.sample_rate
            needs = f"crops of at least {least_samples} samples ({seconds:.2f} s)"
            raise self.cannot_take(needs, remedy)
        self.std.fill_(FULL_SCALE)

    def add_last_layer(self, width: int, dropout: float) -> None:
        """Create the last layer, for embeddings `[batch, width]`; call it last in `__init__`."""
        self.embedding_dim = width
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, self.n_classes)

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits `[batch, class]` of embeddings `[batch, embedding_dim]`."""
        return self.head(self.dropout(embedding))

    def layers(self) -> dict[str, nn.Module]:
        """Empty, unless an architecture names its layers."""
        return {}

    def samples(self, x: Tensor) -> Tensor:
        """Normalised samples `[batch, sample]` of the input `[batch, 1, 1, sample]`."""
        return self.normalise(x)[:, 0, 0]


class MelDecibels(nn.Module):
    """The log-mel spectrogram in front of a tagger, normalised by a batch norm of one channel.

    Power of an STFT with a Hann window, `n_mels` triangles on the HTK mel scale up to 8 kHz, not
    area-normalised, in decibels with a floor of -100 dB.
    """

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        from torchaudio.transforms import AmplitudeToDB, MelSpectrogram

        with warnings.catch_warnings():  # some of 128 bands lie between two bins: so published
            warnings.filterwarnings("ignore", "At least one mel filterbank")
            self.mel = MelSpectrogram(SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP, n_mels=n_mels)
        self.decibels = AmplitudeToDB()
        self.norm = nn.BatchNorm2d(1)

    def forward(self, samples: Tensor) -> Tensor:
        """`[batch, sample]` -> `[batch, 1, mel, frame]`."""
        return self.norm(self.decibels(self.mel(samples))[:, None])


class ConvBlock(nn.Module):
    """Convolution, batch norm, ReLU, max pooling; in one dimension or two."""

    def __init__(
        self,
        width_in: int,
        width_out: int,
        kernel: int = 3,
        *,
        pool: int | tuple[int, int] = 1,
        stride: int = 1,
        dimensions: int = 2,
    ) -> None:
        super().__init__()
        conv, norm, pooling = _LAYERS[dimensions]
        self.conv = conv(width_in, width_out, kernel, stride=stride, padding=kernel // 2)
        self.norm = norm(width_out)
        self.pool = pooling(pool)

    def forward(self, x: Tensor) -> Tensor:
        """`[batch, width_in, ...]` -> `[batch, width_out, ...]`, smaller by stride and pool."""
        return self.pool(torch.relu(self.norm(self.conv(x))))


def pooled_blocks(channels: Sequence[int], pooling: Sequence[tuple[int, int]]) -> nn.ModuleList:
    """Blocks of conv 3x3 of these widths, pooled so by band and frame, from one channel on."""
    widths = [1, *channels]
    return nn.ModuleList(
        ConvBlock(widths[i], widths[i + 1], pool=pool) for i, pool in enumerate(pooling)
    )


def convolutions(blocks: nn.ModuleList) -> dict[str, nn.Module]:
    """The convolution of each block, by name, before batch norm and ReLU."""
    return {f"conv{i}": block.get_submodule("conv") for i, block in enumerate(blocks, start=1)}


_LAYERS: dict[int, tuple] = {
    1: (nn.Conv1d, nn.BatchNorm1d, nn.MaxPool1d),
    2: (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d),
}


def samples_of(frames: int) -> int:
    """The fewest samples that have so many frames in the STFT, which is centred."""
    return (frames - 1) * HOP
