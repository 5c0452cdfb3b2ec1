"""A convolutional LSTM over steps of time."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

from melgraph.ml.models.base import Classifier, InputShape


class ConvLSTM(Classifier):
    """A ConvLSTM over consecutive patches of a crop, batch norm, dense layer, head.

    Shi et al. 2015, "Convolutional LSTM network", equation 3, without the peephole terms (as the
    common implementations leave them out); "Music signal generation and classification" puts batch
    norm and dense layers on one (75 % on its own split). A crop is cut into patches of
    `step_frames`; each is one step of the recurrence, a small image of coefficients by frames.

    Args:
        shape: of the input: coefficients (or mel bands) by frames.
        n_classes: classes of the output.
        channels: of the hidden state.
        step_frames: frames of one step.
        kernel: of the convolutions, odd.
        embedding_dim: width of the dense layer, which is the embedding.
        dropout: probability of dropping a dimension of the embedding in training.
    """

    any_bins = False  # the dense layer reads each bin by itself

    def __init__(
        self,
        shape: InputShape,
        n_classes: int,
        *,
        channels: int = 32,
        step_frames: int = 13,
        kernel: int = 3,
        embedding_dim: int = 64,
        dropout: float = 0.3,
    ) -> None:
        super().__init__(shape, n_classes)
        if shape.bins < 2:
            raise self.cannot_take(
                "an image of at least two bins",
                'set input = { representation = "mfcc" }, or use waveform_cnn',
            )
        self.channels, self.step_frames, self.embedding_dim = channels, step_frames, embedding_dim
        self.of_input = nn.Conv2d(shape.channels, 4 * channels, kernel, padding=kernel // 2)
        self.of_state = nn.Conv2d(channels, 4 * channels, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.hidden = nn.Linear(channels * shape.bins, embedding_dim)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(embedding_dim, n_classes)

    def embed(self, x: Tensor) -> Tensor:
        """Embeddings `[batch, embedding_dim]`, none below 0, of `[batch, channel, bin, frame]`."""
        x = self.normalise(x)
        x = F.pad(x, (0, -x.shape[3] % self.step_frames))  # zeros: the mean, once normalised
        steps = self.of_input(x).split(self.step_frames, dim=3)  # all input terms at once
        state = torch.zeros_like(steps[0][:, : self.channels])
        cell = torch.zeros_like(state)
        for step in steps:  # [batch, 4 channel, bin, step frame]
            gates = step + self.of_state(state)
            keep, write, show, candidate = gates.chunk(4, dim=1)
            cell = keep.sigmoid() * cell + write.sigmoid() * candidate.tanh()
            state = show.sigmoid() * cell.tanh()
        x = self.norm(state).mean(dim=3).flatten(1)  # [batch, channel * bin]
        return torch.relu(self.hidden(x))

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits `[batch, class]` of embeddings `[batch, embedding_dim]`."""
        return self.head(self.dropout(embedding))

    def layers(self) -> dict[str, nn.Module]:
        """The convolutions of the input and of the (last) state."""
        return {"of_input": self.of_input, "of_state": self.of_state}
