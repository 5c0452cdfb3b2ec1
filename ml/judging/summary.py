"""From figures of single sounds to a mean with intervals over songs and over artists, in words."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

MIN_SONGS = 20  # with fewer, there is no verdict
_RESAMPLES = 2000


@dataclass(frozen=True)
class Mean:
    """A mean with 95 % percentile intervals of the bootstrap. Each song counts once.

    Attributes:
        mean: over songs.
        low: lower end of the interval over songs.
        high: upper end.
        group_low: lower end of the interval over groups, whose songs are drawn together. None with
            one group: nothing is known of other artists.
        group_high: upper end.
        songs: how many songs there are.
        groups: how many artists (groups) they belong to.
    """

    mean: float
    low: float
    high: float
    group_low: float | None
    group_high: float | None
    songs: int
    groups: int

    @property
    def above_zero(self) -> bool:
        """Whether both intervals lie above zero."""
        return self.low > 0 and self.group_low is not None and self.group_low > 0

    @property
    def below_zero(self) -> bool:
        """Whether both intervals lie below zero."""
        return self.high < 0 and self.group_high is not None and self.group_high < 0

    def facts(self) -> dict[str, Any]:
        """Ready for JSON, with four decimals."""
        return {
            key: round(value, 4) if isinstance(value, float) else value
            for key, value in asdict(self).items()
        }


def mean_of(
    values: Sequence[float | None],
    songs: Sequence[Hashable],
    groups: Sequence[Hashable],
    *,
    seed: int = 0,
) -> Mean | None:
    """The mean of a figure over songs, with both intervals; None without any value.

    Args:
        values: of each sound; None where the figure does not exist. It is left out.
        songs: the song of each sound. Several sounds of one song are averaged first.
        groups: the artist, or the recordings that the song is kept together with.
        seed: of both bootstraps.
    """
    by_song: dict[Hashable, list[float]] = {}
    group_of: dict[Hashable, Hashable] = {}
    for value, song, group in zip(values, songs, groups, strict=True):
        if value is not None and np.isfinite(value):
            by_song.setdefault(song, []).append(float(value))
            group_of[song] = group
    if not by_song:
        return None
    means = np.array([np.mean(each) for each in by_song.values()])
    names = list(dict.fromkeys(group_of.values()))
    member = np.array([names.index(group_of[song]) for song in by_song])
    sums = np.bincount(member, means, len(names))
    sizes = np.bincount(member, minlength=len(names)).astype(np.float64)
    low, high = _interval(means, np.ones(len(means)), np.random.default_rng([seed, 1]))
    group_low: float | None = None
    group_high: float | None = None
    if len(names) > 1:
        group_low, group_high = _interval(sums, sizes, np.random.default_rng([seed, 2]))
    return Mean(float(means.mean()), low, high, group_low, group_high, len(means), len(names))


def _interval(
    sums: np.ndarray, sizes: np.ndarray, random: np.random.Generator
) -> tuple[float, float]:
    """Percentile interval of sum(sums) / sum(sizes) over resamples of the units."""
    drawn = random.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=_RESAMPLES)
    low, high = np.percentile((drawn @ sums) / (drawn @ sizes), [2.5, 97.5])
    return float(low), float(high)


def verdict(
    advantages: Mapping[str, Mean | None], target: str | None, *, sounds: int = 0, nearer: int = 0
) -> str:
    """A sentence on whether a method raises the probability of its target, and the figures of it.

    Args:
        advantages: judge -> the change of the target's probability by the method, minus that by
            matched noise; None where the judge has no figure.
        target: the class, for people; None for a method without a target.
        sounds: how many sounds there are.
        nearer: for how many of them no noise is as far from the source.
    """
    if target is None:
        return "The method has no target, so there is no direction to judge."
    figures = {name: mean for name, mean in advantages.items() if mean is not None}
    if not figures:
        return (
            f"Not judged: no judge without a part in making the sounds knows the class {target!r}."
        )
    if nearer > sounds / 2:
        return (
            f"No verdict: noise as far from the source as the sound was found for only "
            f"{sounds - nearer} of {sounds} sounds, so noise is no floor here."
        )
    fewest = min(mean.songs for mean in figures.values())
    listed = "; ".join(
        f"{name}: {100 * mean.mean:+.1f} percentage points beyond matched noise"
        f" (95 % confidence interval {_ends(mean.low, mean.high)} over songs, {_group_ends(mean)})"
        for name, mean in figures.items()
    )
    if nearer:
        listed += f". For {nearer} of {sounds} sounds, the noise stays nearer to the source"
    if fewest < MIN_SONGS:
        return (
            f"No verdict: a verdict on {target!r} needs {MIN_SONGS} songs, and there are only "
            f"{fewest}. {listed}."
        )
    if all(mean.above_zero for mean in figures.values()):
        return f"The method raises the probability of {target!r} more than noise does. {listed}."
    if any(mean.above_zero for mean in figures.values()):
        return (
            f"The judges disagree on whether the method raises the probability of {target!r}. "
            f"{listed}."
        )
    if all(mean.below_zero for mean in figures.values()):
        return f"The method lowers the probability of {target!r} more than noise does. {listed}."
    return (
        f"It is not shown that the method raises the probability of {target!r} more than noise "
        f"does. {listed}."
    )


def composition_verdict(
    probabilities: Mapping[str, tuple[Mean | None, Mean | None]], target: str
) -> str:
    """A sentence on the probability that judges give to compositions and to real recordings.

    Args:
        probabilities: judge -> the mean probability of the target, of compositions and of the
            held-out recordings beside them; None where the judge has no figure.
        target: the class or classes, for people.
    """
    listed = "; ".join(
        f"{name}: {_share(new)}, real recordings {_share(real)}"
        for name, (new, real) in probabilities.items()
        if new is not None and real is not None
    )
    if not listed:
        return (
            f"Not judged: no judge without a part in making the sounds knows the class {target!r}."
        )
    return f"Judges give the compositions a probability of {target!r} of: {listed}."


def _share(mean: Mean) -> str:
    return (
        f"{100 * mean.mean:.0f} % (95 % confidence interval {100 * mean.low:.0f} to "
        f"{100 * mean.high:.0f} over {mean.songs} songs)"
    )


def _ends(low: float, high: float) -> str:
    return f"{100 * low:+.1f} to {100 * high:+.1f}"


def _group_ends(mean: Mean) -> str:
    if mean.group_low is None or mean.group_high is None:
        return "one artist only"
    return f"{_ends(mean.group_low, mean.group_high)} over {mean.groups} artists"
