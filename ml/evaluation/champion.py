"""The rule that chooses the champion of a dataset: it reads validation results only."""

from collections.abc import Iterable
from dataclasses import dataclass

RULE = (
    "of the trainings on the newest snapshot of the dataset, the one with the highest validation "
    "accuracy (macro PR-AUC where tracks have several labels); if several are equal, the one with "
    "the lowest validation loss, then the oldest; never the test split"
)


@dataclass(frozen=True)
class Contender:
    """A training that may become champion.

    Attributes:
        version: of the registered model.
        experiment: name of its experiment.
        snapshot: version of the dataset's snapshot that it was trained on.
        snapshot_at: time at which the snapshot was written: ISO 8601, UTC.
        trained_at: time at which the training began: ISO 8601, UTC.
        accuracy: of its weights on the validation tracks; None if there were no such tracks.
        loss: of its weights on the validation tracks, nats; None if it was not recorded.
        measure: name of the measure that `accuracy` holds. All trainings on a snapshot have the
            same.
    """

    version: int
    experiment: str
    snapshot: str
    snapshot_at: str
    trained_at: str
    accuracy: float | None
    loss: float | None
    measure: str = "accuracy"


@dataclass(frozen=True)
class ChampionChoice:
    """The champion, and the reason for it; or the reason why there is none."""

    champion: Contender | None
    reason: str


def choose_champion(contenders: Iterable[Contender]) -> ChampionChoice:
    """The champion by `RULE`. The order of the contenders does not matter."""
    contenders = list(contenders)
    if not contenders:
        return ChampionChoice(None, "no champion: no model has been trained on the dataset")
    newest = max((c.snapshot_at, c.snapshot) for c in contenders)
    on_newest = [c for c in contenders if (c.snapshot_at, c.snapshot) == newest]
    measured = [c for c in on_newest if c.accuracy is not None]
    snapshot = f"snapshot {newest[1][:8]} of {newest[0][:10]}"
    if not measured:
        return ChampionChoice(
            None, f"no champion: the trainings on the newest snapshot ({newest[1][:8]} of "
            f"{newest[0][:10]}) have no validation split, and the test split is never used"
        )  # fmt: skip
    ranked = sorted(measured, key=_rank)
    best = ranked[0]
    figures = f"validation {best.measure} {best.accuracy:.4f}"
    if best.loss is not None:
        figures += f", loss {best.loss:.4f}"
    rank = f"the best of {len(measured)} trainings" if len(measured) > 1 else "the only training"
    reason = (
        f"{best.experiment} (version {best.version}): {figures}; {rank} on the newest {snapshot}"
    )
    if len(ranked) > 1 and ranked[1].accuracy == best.accuracy:
        decider = "the lower loss" if ranked[1].loss != best.loss else "the older training"
        reason += (
            f"; version {ranked[1].version} has the same {best.measure}, and {decider} decided"
        )
    return ChampionChoice(best, reason)


def _rank(contender: Contender) -> tuple[float, float, str, int]:
    accuracy = contender.accuracy if contender.accuracy is not None else float("-inf")
    loss = contender.loss if contender.loss is not None else float("inf")
    return -accuracy, loss, contender.trained_at, contender.version
