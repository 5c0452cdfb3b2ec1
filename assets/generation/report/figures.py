"""The table of the report: figures of each recipe and its controls, with intervals and verdicts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from melgraph.assets.generation.report.judges import Judge
from melgraph.assets.generation.report.measurements import NOISE, SOUND, Measurement
from melgraph.ml.judging.summary import Mean, composition_verdict, mean_of, verdict

OWN, SAME_ARTIST, UNKNOWN = "own network", "trained on its artist", "class unknown to the judge"
NO_SONGS_LEFT = "no other artist of the target left"

FIGURES = {  # name of a figure of `Fidelity` -> name in the table
    "chroma_correlation": "chroma correlation",
    "onset_correlation": "onset correlation",
    "log_spectral_distance_db": "log-spectral distance, dB",
    "clipping_share": "clipped samples",
    "silence_share": "silent windows",
    "loudness_difference_lu": "loudness, LU re source",
    "true_peak_db": "true peak, dB",
}


# What remains of the source: says nothing of a composition, which has none.
OF_A_SOURCE = ("chroma_correlation", "onset_correlation")


class Verdicts:
    """The answers of each judge for each sound, and the reasons why it gives none.

    Args:
        judges: of one dataset.
        measurements: all sounds and controls of this dataset.
    """

    def __init__(self, judges: Sequence[Judge], measurements: Sequence[Measurement]) -> None:
        self.judges = list(judges)
        self.cross_fitted = {
            judge.name: self._needs_cross_fit(judge, measurements) for judge in judges
        }

    @staticmethod
    def _needs_cross_fit(judge: Judge, measurements: Sequence[Measurement]) -> str | None:
        """Why a probe is fitted anew; None if it judges as it is."""
        if judge.tagger is None:
            return None
        if judge.few:
            return f"too few songs or artists on the train side ({'; '.join(judge.few)})"
        if any(judge.groups_of(one.case.origin) & judge.training_groups for one in measurements):
            return "it was trained on artists of the sources or guides"
        return None

    def refusal(self, judge: Judge, one: Measurement) -> str | None:
        """Why a judge gives no figure for a sound; None if it does."""
        if judge.networks & one.case.networks:
            return OWN
        if judge.tagger is None and judge.groups_of(one.case.origin) & judge.training_groups:
            return SAME_ARTIST
        if self.cross_fitted[judge.name] is not None and one.case.target in judge.classes:
            number = judge.classes.index(str(one.case.target))
            if not judge.cross_fitted.knows(number, judge.groups_of(one.case.origin)):
                return NO_SONGS_LEFT
        return None

    def probabilities(self, judge: Judge, one: Measurement) -> tuple[np.ndarray, np.ndarray]:
        """The class probabilities of the source and of the sound."""
        before, after = one.before[judge.name], one.readings[judge.name]
        if self.cross_fitted[judge.name] is None:
            return before.probabilities, after.probabilities
        fitted, without = judge.cross_fitted, judge.groups_of(one.case.origin)
        assert before.vector is not None
        assert after.vector is not None
        return (
            fitted.probabilities(before.vector, without),
            fitted.probabilities(after.vector, without),
        )

    def judgement(self, judge: Judge, one: Measurement) -> dict[str, Any]:
        """What a judge says of one sound: ready for JSON."""
        refusal, target = self.refusal(judge, one), one.case.target
        if refusal is not None:
            return {"refusal": refusal}
        before, after = self.probabilities(judge, one)
        top = int(before.argmax())
        answer: dict[str, Any] = {
            "top_before": judge.classes[top],
            "top_after": judge.classes[int(after.argmax())],
            "top_probability_change": float(after[top] - before[top]),
        }
        if target is None:
            return answer
        if target not in judge.classes:
            return answer | {"refusal": UNKNOWN}
        number = judge.classes.index(target)
        return answer | {
            "target_before": float(before[number]),
            "target_after": float(after[number]),
            "target_change": float(after[number] - before[number]),
        }


def sound_rows(
    measurements: Sequence[Measurement], verdicts: Mapping[str, Verdicts]
) -> list[dict[str, Any]]:
    """A flat row for each sound and each control, for the table of single sounds."""
    from melgraph.ml.evaluation.fidelity import OCTAVE_BANDS_HZ

    rows = []
    for one in measurements:
        case = one.case
        row: dict[str, Any] = {
            "recipe": case.sounds.name,
            "method": case.sounds.spec.config["method"],
            "kind": one.kind,
            "target": case.target,
            "track_id": case.song,
            "path": case.row["path"],
            "label": case.row.get("label"),
            "group": str(case.group),
            **{key: one.fidelity[key] for key in (*FIGURES, "loudness_lufs")},
        }
        for hertz, value in zip(OCTAVE_BANDS_HZ, one.fidelity["octave_difference_db"], strict=True):
            row[f"octave_{hertz:g}_hz_db"] = value
        for judge in verdicts[case.dataset].judges:
            for key, value in verdicts[case.dataset].judgement(judge, one).items():
                row[f"{judge.name}: {key}"] = value
        rows.append(row)
    return rows


def recipe_summary(
    name: str, measurements: Sequence[Measurement], verdicts: Verdicts
) -> dict[str, Any]:
    """All figures of a recipe and of its controls.

    Args:
        name: of the recipe.
        measurements: its sounds and their controls.
        verdicts: of the judges of its dataset.
    """
    sounds = [one for one in measurements if one.kind == SOUND]
    first = sounds[0].case
    targets = sorted({one.case.target for one in sounds if one.case.target is not None})
    kinds = list(dict.fromkeys(one.kind for one in measurements))
    of_kind = {kind: [one for one in measurements if one.kind == kind] for kind in kinds}
    is_composition = any(one.case.is_composition for one in sounds)
    return {
        "recipe": name,
        "title": first.sounds.title,
        "asset": first.sounds.reference.asset,
        "method": first.sounds.spec.config["method"],
        "record": str(first.sounds.reference),
        "dataset": first.dataset,
        "sounds": len(sounds),
        "songs": len({one.case.song for one in sounds}),
        "artists": len({one.case.group for one in sounds}),
        "targets": targets,
        "composed": is_composition,
        "rows": [_kind_row(kind, of_kind[kind], verdicts) for kind in kinds],
        "verdict": _verdict(sounds, of_kind.get(NOISE, []), verdicts, targets),
    }


def _verdict(
    sounds: Sequence[Measurement],
    noise: Sequence[Measurement],
    verdicts: Verdicts,
    targets: Sequence[str],
) -> str:
    """What the judges say of a recipe: of edits beside noise, of compositions beside real music."""
    target = " or ".join(targets) or None
    if any(one.case.is_composition for one in sounds):
        return composition_verdict(
            {
                judge.name: (
                    _mean_of(
                        [_answer(judge, one, verdicts, "target_after") for one in sounds], sounds
                    ),
                    _mean_of(
                        [_answer(judge, one, verdicts, "target_before") for one in sounds], sounds
                    ),
                )
                for judge in verdicts.judges
            },
            str(target),
        )
    return verdict(
        {judge.name: _advantage(judge, sounds, noise, verdicts) for judge in verdicts.judges},
        target,
        sounds=len(sounds),
        nearer=sum(one.is_nearer for one in noise),
    )


def _answer(judge: Judge, one: Measurement, verdicts: Verdicts, key: str) -> float | None:
    value = verdicts.judgement(judge, one).get(key)
    return None if value is None else float(value)


def _kind_row(kind: str, measurements: Sequence[Measurement], verdicts: Verdicts) -> dict[str, Any]:
    from melgraph.ml.evaluation.fidelity import OCTAVE_BANDS_HZ

    judges: dict[str, Any] = {}
    for judge in verdicts.judges:
        answers = [verdicts.judgement(judge, one) for one in measurements]
        refusals = sorted({answer["refusal"] for answer in answers if "refusal" in answer})
        judged = [answer for answer in answers if "top_after" in answer]
        judges[judge.name] = {
            "refusals": refusals,
            "top_changed": sum(a["top_before"] != a["top_after"] for a in judged),
            "judged": len(judged),
            **{
                key: _mean([answer.get(key) for answer in answers], measurements)
                for key in ("target_before", "target_after", "target_change",
                            "top_probability_change")
            },
        }  # fmt: skip
    octaves = [one.fidelity["octave_difference_db"] for one in measurements]
    return {
        "kind": kind,
        "sounds": len(measurements),
        "nearer": sum(one.is_nearer for one in measurements),
        "figures": {
            key: None
            if key in OF_A_SOURCE and measurements[0].case.is_composition
            else _mean([one.fidelity[key] for one in measurements], measurements)
            for key in FIGURES
        },
        "octaves_db": {
            f"{hertz:g}": _plain_mean([values[band] for values in octaves])
            for band, hertz in enumerate(OCTAVE_BANDS_HZ)
        },
        "judges": judges,
    }


def _advantage(
    judge: Judge, sounds: Sequence[Measurement], noise: Sequence[Measurement], verdicts: Verdicts
) -> Mean | None:
    """The change of the target's probability by the method, minus that by matched noise."""
    changes = {id(one.case): verdicts.judgement(judge, one).get("target_change") for one in noise}
    differences: list[float | None] = []
    for one in sounds:
        by_method = verdicts.judgement(judge, one).get("target_change")
        by_noise = changes.get(id(one.case))
        if by_method is None or by_noise is None:
            differences.append(None)
        else:
            differences.append(float(by_method) - float(by_noise))
    return _mean_of(differences, sounds)


def _mean_of(values: Sequence[float | None], measurements: Sequence[Measurement]) -> Mean | None:
    songs, groups = (
        [one.case.song for one in measurements],
        [one.case.group for one in measurements],
    )
    return mean_of(values, songs, groups)


def _mean(
    values: Sequence[float | None], measurements: Sequence[Measurement]
) -> dict[str, Any] | None:
    mean = _mean_of(values, measurements)
    return None if mean is None else mean.facts()


def _plain_mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 2) if known else None
