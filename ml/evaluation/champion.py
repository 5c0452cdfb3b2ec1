"""Which of the trainings on a dataset is its champion: one rule, from validation figures alone."""

from collections.abc import Iterable
from dataclasses import dataclass

RULE = (
    "among the trainings on the newest snapshot of the dataset: the best validation accuracy "
    "(macro PR-AUC, where tracks have several labels), then the lower validation loss, then the "
    "older training; never the test split"
)


@dataclass(frozen=True)
class Contender:
    """A training that may become champion.

    Attributes:
        version: of the registered model.
        experiment: that it was trained by.
        snapshot: version of the dataset's snapshot that it was trained on.
        snapshot_at: when the snapshot was made: ISO 8601, UTC.
        trained_at: when the training began: ISO 8601, UTC.
        accuracy: of its weights on the validation tracks; None where there were none.
        loss: of its weights on the validation tracks, nats; None where it is not known.
        measure: what stands in `accuracy`; a snapshot has one measure for all its trainings.
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
class Verdict:
    """Who is champion, and why; or why nobody is."""

    champion: Contender | None
    reason: str


def choose_champion(contenders: Iterable[Contender]) -> Verdict:
    """The champion by `RULE`, whatever the order in which the contenders come."""
    everyone = list(contenders)
    if not everyone:
        return Verdict(None, "no champion: nothing has been trained on the dataset")
    newest = max((c.snapshot_at, c.snapshot) for c in everyone)
    here = [c for c in everyone if (c.snapshot_at, c.snapshot) == newest]
    measured = [c for c in here if c.accuracy is not None]
    where = f"snapshot {newest[1][:8]} of {newest[0][:10]}"
    if not measured:
        return Verdict(
            None, f"no champion: the trainings on the newest snapshot ({where}) have no "
            "validation split to be compared on, and the test split never decides"
        )  # fmt: skip
    ranked = sorted(measured, key=_rank)
    best = ranked[0]
    told = f"validation {best.measure} {best.accuracy:.4f}"
    if best.loss is not None:
        told += f", loss {best.loss:.4f}"
    others = f"the best of {len(measured)}" if len(measured) > 1 else "the only one"
    reason = f"{best.experiment} (version {best.version}): {told}, {others} on the newest {where}"
    if len(ranked) > 1 and ranked[1].accuracy == best.accuracy:
        why = "the lower loss" if ranked[1].loss != best.loss else "the older training"
        reason += f"; equal {best.measure} of version {ranked[1].version}, decided by {why}"
    return Verdict(best, reason)


def _rank(contender: Contender) -> tuple[float, float, str, int]:
    accuracy = contender.accuracy if contender.accuracy is not None else float("-inf")
    loss = contender.loss if contender.loss is not None else float("inf")
    return -accuracy, loss, contender.trained_at, contender.version
