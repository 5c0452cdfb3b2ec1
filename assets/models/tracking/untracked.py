"""A tracker that logs nothing, for reproducing an artifact from its record."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from melgraph.assets.models.tracking.live import LiveRun
from melgraph.storage.artifacts import ArtifactStore, Work

Curves = Sequence[Mapping[str, Any]]  # one mapping of figures per epoch


class UntrackedRuns:
    """A tracker that logs nothing, for reproducing an artifact from its record."""

    @contextmanager
    def live_run(self, store: ArtifactStore, work: Work) -> Iterator[LiveRun]:
        """No run."""
        yield LiveRun()

    def log_training(
        self, store: ArtifactStore, work: Work, curves: Curves, *, seconds: float, run: LiveRun
    ) -> str | None:
        """No run."""
        return None

    def log_trial(
        self,
        store: ArtifactStore,
        work: Work,
        curves: Sequence[tuple[int, Curves]],
        figures: Mapping[str, float],
        *,
        seconds: float,
        run: LiveRun,
    ) -> str | None:
        """No run."""
        return None

    def log_generative_model(
        self, store: ArtifactStore, work: Work, curves: Curves, *, seconds: float, run: LiveRun
    ) -> str | None:
        """No run."""
        return None


UNTRACKED = UntrackedRuns()
