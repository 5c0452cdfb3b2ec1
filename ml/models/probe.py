"""A linear probe: logistic regression on the vectors of frozen networks."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from melgraph.ml.models.base import Classifier, InputShape

FUSIONS = ("joint", "separate")


class Probe(Classifier):
    """Multinomial logistic regression on standardised vectors.

    `ml.training.logistic_regression` fits it, and chooses its regularisation by grouped
    cross-validation inside the training tracks. The embedding is the standardised vector.

    Args:
        shape: of the input: the dimensions of the vector as bins, one frame.
        n_classes: classes of the output.
        strengths: the values of C that are tried, scikit-learn's inverse of the L2 penalty.
        inner_folds: folds of the cross-validation that chooses between them.
        fusion: `joint`: one regression on the whole vector. `separate`: one for each source of the
            vector, with its own C; the mean of their logits is that of the probe. It stays linear.
    """

    any_length = False

    def __init__(
        self,
        shape: InputShape,
        n_classes: int,
        *,
        strengths: Sequence[float] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0),
        inner_folds: int = 5,
        fusion: str = "joint",
    ) -> None:
        super().__init__(shape, n_classes)
        if shape.frames != 1 or shape.channels != 1:
            raise self.cannot_take(
                "vectors: one channel, one frame",
                'set input = { representation = "vectors", sources = [...] }, or another '
                "architecture",
            )
        if not strengths or min(strengths) <= 0:
            raise self.cannot_take(
                f"at least one strength, each above 0 (got {list(strengths)})",
                "set model.options.strengths to a list of positive numbers",
            )
        if fusion not in FUSIONS:
            raise self.cannot_take(
                f"a fusion of {' or '.join(FUSIONS)} (got {fusion!r})",
                f'set model.options.fusion to "{FUSIONS[0]}" or "{FUSIONS[1]}"',
            )
        self.embedding_dim = shape.bins
        self.head = nn.Linear(shape.bins, n_classes)

    def embed(self, x: Tensor) -> Tensor:
        """Standardised vectors `[batch, dimension]` of `[batch, 1, dimension, 1]`."""
        return self.normalise(x)[:, 0, :, 0]

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits `[batch, class]` of standardised vectors."""
        return cast(Tensor, self.head(embedding))

    def layers(self) -> dict[str, nn.Module]:
        """Empty: there are no convolutions."""
        return {}
