"""The figures of the report as text for people: for the pages, the Dagster UI and the documents."""

from collections.abc import Mapping
from typing import Any

from melgraph.assets.generation.report.figures import FIGURES

_PROBES = ("probe-musicnn", "probe-mn04")  # the shipped experiments that are judges


def judge_rows(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """The judges."""
    return [
        {
            "judge": judge["name"],
            "dataset": judge["dataset"],
            "champion": "yes" if judge["champion"] else "no",
            "fitted without the artists of a sound": judge["cross_fitted"] or "no",
        }
        for judge in facts["judges"]
    ]


def absent_judges(facts: Mapping[str, Any]) -> list[str]:
    """A sentence on each kind of judge that does not exist."""
    names = {judge["name"] for judge in facts["judges"]}
    absent = [name for name in _PROBES if name not in names]
    sentences = []
    if absent:
        commands = " ".join(f"--experiment {name}" for name in absent)
        sentences.append(
            f"There is no {' and no '.join(absent)}. melgraph run {commands} trains them; they "
            "need the published weights of the taggers."
        )
    datasets = {recipe["dataset"] for recipe in facts["recipes"]}
    datasets -= {judge["dataset"] for judge in facts["judges"] if judge["champion"]}
    sentences += [
        f"The dataset {dataset!r} has no champion: no current model of it has validation results."
        for dataset in sorted(datasets)
    ]
    return sentences


def table_rows(recipe: Mapping[str, Any]) -> list[dict[str, str]]:
    """The rows of a recipe and its controls, as text for people."""
    rows = []
    for row in recipe["rows"]:
        cells = {"kind": f"{row['kind']} ({row['sounds']})"}
        for name, judge in row["judges"].items():
            cells[name] = judge_cell(judge)
        cells |= {title: mean_cell(row["figures"][key]) for key, title in FIGURES.items()}
        for one in recipe["sets"]:
            if one["kind"] == row["kind"]:
                cells[f"KAD to {one['target']}, {one['embedding']}"] = kad_cell(one)
        rows.append(cells)
    return rows


def size_sentence(recipe: Mapping[str, Any]) -> str:
    """How many sounds there are, of what, and towards what."""
    targets = f" Target: {', '.join(recipe['targets'])}." if recipe["targets"] else ""
    return (
        f"Sounds: {recipe['sounds']}; songs: {recipe['songs']}; artists: {recipe['artists']}; "
        f"dataset: {recipe['dataset']}.{targets}"
    )


def octave_rows(recipe: Mapping[str, Any]) -> list[dict[str, str]]:
    """The level of each octave band minus that of the source, dB, as text for people."""
    return [
        {
            "sounds": row["kind"],
            **{
                f"{hertz} Hz": "-" if level is None else f"{level:+.1f}"
                for hertz, level in sorted(row["octaves_db"].items(), key=lambda i: float(i[0]))
            },
        }
        for row in recipe["rows"]
    ]


def recipe_view(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe, as the page shows it."""
    return {
        "name": recipe["recipe"],
        "title": recipe["title"],
        "verdict": recipe["verdict"],
        "size": size_sentence(recipe),
        "rows": table_rows(recipe),
        "octaves": octave_rows(recipe),
        "sets": set_rows(recipe),
        "record": recipe["record"],
    }


def set_rows(recipe: Mapping[str, Any]) -> list[dict[str, str]]:
    """The distances to the real recordings of the target, as text for people."""
    return [
        {
            "sounds": one["kind"],
            "target": one["target"],
            "embedding": one["embedding"],
            "KAD (95 % interval)": kad_cell(one),
            "FAD": fad_cell(one),
        }
        for one in recipe["sets"]
    ]


def judge_cell(judge: Mapping[str, Any]) -> str:
    """The change of the target's probability, or of the class that the source had."""
    refusals = ", ".join(judge["refusals"])
    if (change := judge["target_change"]) is not None:
        text = f"target {100 * change['mean']:+.1f} points {_ends(change, 100)}"
        return f"{text}; {refusals}" if refusals else text
    if (change := judge["top_probability_change"]) is not None and not refusals:
        return (
            f"class of the source {100 * change['mean']:+.1f} points; another class in "
            f"{judge['top_changed']} of {judge['judged']}"
        )
    return refusals or "-"


def mean_cell(mean: Mapping[str, Any] | None) -> str:
    """A mean with its interval over songs."""
    return "-" if mean is None else f"{mean['mean']:.2f} {_ends(mean, 1)}"


def _ends(mean: Mapping[str, Any], factor: float) -> str:
    digits = 1 if factor == 100 else 2
    return f"({factor * mean['low']:.{digits}f} to {factor * mean['high']:.{digits}f})"


def kad_cell(one: Mapping[str, Any]) -> str:
    """A kernel audio distance with its interval and p-value, or why there is none."""
    if "refusal" in one:
        return str(one["refusal"])
    kad = one["kad"]
    if one["undetermined"]:
        return f"undetermined: {kad['n_reference']} reference songs"
    return (
        f"{kad['value']:.2f} ({kad['low']:.2f} to {kad['high']:.2f}), p = {kad['p_value']:.3f}, "
        f"{kad['n_generated']} against {kad['n_reference']} songs"
    )


def fad_cell(one: Mapping[str, Any]) -> str:
    """A Fréchet audio distance with the numbers of segments, or why there is none."""
    if "refusal" in one:
        return str(one["refusal"])
    if (fad := one["fad"]) is None:
        return "one segment only"
    caution = ", fewer segments than dimensions" if fad["rank_deficient"] else ""
    return (
        f"{fad['value']:.2f} ({fad['generated_segments']} against {fad['reference_segments']} "
        f"segments{caution})"
    )
