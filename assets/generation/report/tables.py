"""The figures of the report as text for people: for the pages, the Dagster UI and the documents."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from melgraph.assets.generation.report.figures import FIGURES
from melgraph.assets.generation.report.measurements import NOISE, SOUND

_PROBES = {"probe-musicnn": "musicnn-jamendo", "probe-mn04": "mn04-audioset"}
"""The shipped experiments that are judges -> the tagger that each takes."""
_OVERVIEW = ("chroma_correlation", "onset_correlation", "log_spectral_distance_db",
             "loudness_difference_lu")  # fmt: skip


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
    taggers = {judge.get("tagger") for judge in facts["judges"]}
    absent = [name for name, tagger in _PROBES.items() if not {name, tagger} & (names | taggers)]
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


def overview_rows(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row for each recipe, with matched noise beside its sounds, and one for each other control.

    A control is made from the sources of each recipe: its cells have the range over the recipes.
    """
    recipes, names = facts["recipes"], [judge["name"] for judge in facts["judges"]]
    rows = [_overview_row(recipe, names) for recipe in recipes]
    kinds = dict.fromkeys(row["kind"] for recipe in recipes for row in recipe["rows"])
    for kind in (kind for kind in kinds if kind not in (SOUND, NOISE)):
        of_kind = [row for recipe in recipes for row in recipe["rows"] if row["kind"] == kind]
        rows.append(_control_row(kind, of_kind, names))
    return rows


def _overview_row(recipe: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    by_kind = {row["kind"]: row for row in recipe["rows"]}
    sound, noise = by_kind[SOUND], by_kind.get(NOISE)
    cells = {"recipe or control": f"{recipe['recipe']} ({recipe['sounds']})"}
    for name in names:
        cells[name] = _change_cell(sound, noise, name)
    for key in _OVERVIEW:
        mean, floor = (row and row["figures"][key] for row in (sound, noise))
        beside = f" (noise {floor['mean']:.2f})" if floor else ""
        cells[FIGURES[key]] = f"{mean['mean']:.2f}{beside}" if mean else "-"
    return cells


def _change_cell(sound: Mapping[str, Any], noise: Mapping[str, Any] | None, name: str) -> str:
    """The change that a judge finds in the sounds of a recipe, and in matched noise."""
    if name not in sound["judges"]:  # of another dataset
        return "-"
    change = _change(sound["judges"][name])
    if change is None:
        return judge_cell(sound["judges"][name])
    floor = noise and _change(noise["judges"][name])
    beside = f" (noise {floor[1]:+.1f})" if floor else ""
    refusals = "".join(f"; {refusal}" for refusal in sound["judges"][name]["refusals"])
    return f"{change[0]} {change[1]:+.1f}{beside}{refusals}"


def _control_row(
    kind: str, rows: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> dict[str, str]:
    cells = {"recipe or control": kind}
    for name in names:
        changes: dict[str, list[float]] = {}
        for row in rows:
            if name in row["judges"] and (change := _change(row["judges"][name])) is not None:
                changes.setdefault(change[0], []).append(change[1])
        cells[name] = "; ".join(
            f"{what} {_range(values, '+.1f')}" for what, values in sorted(changes.items())
        )
        cells[name] = cells[name] or "-"
    for key in _OVERVIEW:
        means = [row["figures"][key]["mean"] for row in rows if row["figures"][key]]
        cells[FIGURES[key]] = _range(means, ".2f") if means else "-"
    return cells


def _range(values: Iterable[float], digits: str) -> str:
    low, high = (format(end(values) + 0.0, digits) for end in (min, max))
    return low if low == high else f"{low} to {high}"


def _change(judge: Mapping[str, Any]) -> tuple[str, float] | None:
    """Which probability a judge gives the change of, and this change in percentage points."""
    if (change := judge["target_change"]) is not None:
        return "target", 100 * change["mean"]
    if (change := judge["top_probability_change"]) is not None and not judge["refusals"]:
        return "class of the source", 100 * change["mean"]
    return None


def table_rows(recipe: Mapping[str, Any]) -> list[dict[str, str]]:
    """The rows of a recipe and its controls, as text for people."""
    rows = []
    for row in recipe["rows"]:
        nearer = f"; {row['nearer']} nearer to the source" if row["nearer"] else ""
        cells = {"kind": f"{row['kind']} ({row['sounds']}{nearer})"}
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
    change = _change(judge)
    if change is None:
        return refusals or "-"
    text = f"{change[0]} {change[1]:+.1f} points"
    if judge["target_change"] is None:
        return f"{text}; another class in {judge['top_changed']} of {judge['judged']}"
    text += (
        f"{_ends(judge['target_change'], 100)}, from {100 * judge['target_before']['mean']:.1f} %"
    )
    return f"{text}; {refusals}" if refusals else text


def mean_cell(mean: Mapping[str, Any] | None) -> str:
    """A mean with its interval over songs."""
    return "-" if mean is None else f"{mean['mean']:.2f}{_ends(mean, 1)}"


def _ends(mean: Mapping[str, Any], factor: float) -> str:
    if mean["songs"] < 2:
        return ""  # one song says nothing of others
    digits = 1 if factor == 100 else 2
    return f" ({factor * mean['low']:.{digits}f} to {factor * mean['high']:.{digits}f})"


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
