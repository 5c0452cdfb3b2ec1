"""Distances of sets of sounds to the real recordings of the target's class: KAD and FAD."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from melgraph.assets.generation.report.figures import OWN
from melgraph.assets.generation.report.judges import Judge
from melgraph.assets.generation.report.measurements import SOUND, Measurement
from melgraph.ml.metrics.frechet import frechet_distance
from melgraph.ml.metrics.kernel_distance import MIN_REFERENCE_SONGS, kernel_distance

ORIGINALS, HALVES = "sources, unchanged", "real against real"
SEED = 0


def set_distances(
    measurements: Sequence[Measurement], judges: Sequence[Judge]
) -> list[dict[str, Any]]:
    """A row for each target, embedding and kind of sound of a recipe.

    The reference is the real recordings of the class in the judge's dataset, without the artists of
    the sources and of the recordings that a generative model has learned from, and without the
    guides. The same embedding never judges sounds that were made with
    it.

    Args:
        measured: the sounds of a recipe and their controls.
        judges: of its dataset. Those that are no probe have no embedding.
    """
    rows = []
    targets = sorted({one.case.target for one in measurements if one.case.target is not None})
    for target in targets:
        of_target = [one for one in measurements if one.case.target == target]
        for judge in judges:
            if judge.tagger is None or target not in judge.classes:
                continue
            rows += [
                {"target": target, "embedding": judge.tagger, **row}
                for row in _rows(of_target, judge, target)
            ]
    return rows


def _rows(measurements: Sequence[Measurement], judge: Judge, target: str) -> list[dict[str, Any]]:
    kinds = list(dict.fromkeys(one.kind for one in measurements))
    if any(judge.networks & one.case.networks for one in measurements):
        return [{"kind": kind, "refusal": OWN} for kind in (ORIGINALS, *kinds)]
    reference = judge.songs.of_class(
        target,
        without_groups=judge.groups_of(
            {track for one in measurements for track in one.case.learned | {one.case.song}}
        ),
        without=frozenset(one.case.guide for one in measurements if one.case.guide is not None),
    )
    sets = {ORIGINALS: _set([one for one in measurements if one.kind == SOUND], judge, before=True)}
    for kind in kinds:
        sets[kind] = _set([one for one in measurements if one.kind == kind], judge, before=False)
    rows = [{"kind": kind, **_distances(reference, *of_kind)} for kind, of_kind in sets.items()]
    return [*rows, {"kind": HALVES, **_halves(reference)}]


def _set(
    measurements: Sequence[Measurement], judge: Judge, *, before: bool
) -> tuple[Any, list[str]]:
    """The embeddings of all segments, and the song of each."""
    segments, songs = [], []
    for one in measurements:
        reading = (one.before if before else one.readings)[judge.name]
        assert reading.segments is not None
        segments.append(reading.segments)
        songs += [one.case.song] * len(reading.segments)
    return np.concatenate(segments), songs


def _distances(
    reference: Sequence[dict[str, Any]], generated: np.ndarray, songs: Sequence[str]
) -> dict[str, Any]:
    """KAD and FAD to real recordings: ready for JSON."""
    if len(reference) < 2:
        return {"refusal": f"{len(reference)} reference songs"}
    real = np.concatenate([row["segments"] for row in reference])
    names = [row["track_id"] for row in reference for _ in row["segments"]]
    kernel = kernel_distance(
        real, generated, reference_songs=names, generated_songs=songs, seed=SEED
    )
    return {
        "kad": {key: _rounded(value) for key, value in asdict(kernel).items()},
        "undetermined": kernel.undetermined,
        "fad": _frechet(real, generated),
    }


def _frechet(real: np.ndarray, generated: np.ndarray) -> dict[str, Any] | None:
    """FAD with its numbers of segments; None for a single segment, which has no covariance."""
    if min(len(real), len(generated)) < 2:
        return None
    frechet = frechet_distance(real, generated)
    return {
        "value": _rounded(frechet.value),
        "reference_segments": frechet.n_reference,
        "generated_segments": frechet.n_generated,
        "dimension": frechet.dimension,
        "rank_deficient": frechet.rank_deficient,
    }


def _halves(reference: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Real recordings against other real recordings of the class: what no method can beat.

    The reference keeps the 20 songs that a distance needs, or half of them if that is more.
    """
    order = np.random.default_rng([SEED, len(reference)]).permutation(len(reference))
    first = max(MIN_REFERENCE_SONGS, len(reference) // 2)
    rest = [reference[i] for i in order[first:]]
    if len(rest) < 2:
        return {"refusal": f"{len(reference)} reference songs are too few for two halves"}
    songs = [row["track_id"] for row in rest for _ in row["segments"]]
    others = [reference[i] for i in order[:first]]
    return _distances(others, np.concatenate([row["segments"] for row in rest]), songs)


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
