"""The report as text for people: for the pages, the Dagster UI, a run's summary, the documents."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from melgraph.assets.recommendations.report.figures import ALL, HELD_OUT, POOLED
from melgraph.assets.recommendations.report.measurements import (
    AVERAGE_PRECISION,
    COSINE,
    IN_SERVICE,
    PRECISION,
)

SIGNIFICANT = 0.05
_SCOPES = {
    HELD_OUT: "queries of the test split",
    ALL: "all recordings as queries, of encoders that were not trained here",
}
_QUESTIONS = {"label": "Same label", "artist": "Same artist", "album": "Same album"}


def title_of(scope: Mapping[str, Any], question: Mapping[str, Any]) -> str:
    """What a table is about: the question, and the recordings that were asked with."""
    return f"{_QUESTIONS[question['question']]}, {_SCOPES[scope['scope']]}"


def figure_rows(question: Mapping[str, Any], k: int) -> list[dict[str, str]]:
    """A row per space, the best first, then a random ranking."""
    baseline = best_baseline(question)
    against = f"against {baseline}, mean average precision" if baseline else ""
    rows = []
    for row in question["rows"]:
        cells = {
            "encoder": space_name(row),
            f"precision@{k} (95 %)": _figure(row[PRECISION]),
            "mean average precision (95 %)": _figure(row[AVERAGE_PRECISION]),
            "queries / groups": f"{row['n']} / {row['groups']}",
        }
        if baseline:
            cells[against] = _against(question, row["space"], baseline)
        rows.append(cells)
    first = question["rows"][0]
    names = list(rows[0])
    random = [
        "random ranking",
        f"{first[PRECISION]['random']:.3f}",
        f"{first[AVERAGE_PRECISION]['random']:.3f}",
        f"{first['n']} / {first['groups']}",
        *(["-"] if baseline else []),
    ]
    return [*rows, dict(zip(names, random, strict=True))]


def space_name(row: Mapping[str, Any]) -> str:
    """The name of a space, and whether it is a baseline or was trained here."""
    if row["baseline"]:
        return f"{row['space']} (baseline)"
    return f"{row['space']} (trained here)" if row["trained_here"] else str(row["space"])


def best_baseline(question: Mapping[str, Any]) -> str | None:
    """The baseline that encoders are compared with by mean average precision."""
    return next((t["against"] for t in _tests(question, AVERAGE_PRECISION, baseline=True)), None)


def pair_rows(question: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row per pair of encoders: the difference of their mean average precision."""
    return [
        {
            "encoder": test["space"],
            "against": test["against"],
            "difference (95 %)": _difference(test),
            "p (Holm)": _p(test["p_holm"]),
            "queries / groups": f"{test['n']} / {test['groups']}",
        }
        for test in _tests(question, AVERAGE_PRECISION, baseline=False)
    ]


def list_rows(section: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row per encoder in service: how even its lists are, by cosine and as recommended."""
    rows = []
    for lists in section["lists"]:
        before, after = lists.get(COSINE), lists[IN_SERVICE]
        rows.append(
            {
                "encoder": lists["space"],
                "recordings in a list": _change(before, after, "coverage", "{:.1%}"),
                "skewness": _change(before, after, "skewness", "{:+.2f}"),
                "largest hub": _change(before, after, "largest_hub", "{} lists"),
                "which": after["hub"] or "-",
            }
        )
    return rows


def rescaling_rows(scope: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row per encoder: what the recommended order changes, against the order by cosine."""
    by_space: dict[str, dict[str, str]] = {}
    for row in scope["rescaling"]:
        cells = by_space.setdefault(row["space"], {"encoder": row["space"]})
        cells[f"{row['measure'].replace('_', ' ')}, minus that of the cosine"] = _difference(row)
        cells["queries / groups"] = f"{row['n']} / {row['groups']}"
    return list(by_space.values())


def sentences(section: Mapping[str, Any]) -> list[str]:
    """What the section shows and what it does not show, for each scope and question."""
    texts = [
        _verdict(scope, question) for scope in section["scopes"] for question in scope["questions"]
    ]
    return [*texts, *_list_sentences(section)]


def headlines(section: Mapping[str, Any]) -> list[str]:
    """The sentences for the summary of a run: those on the first question, and on the lists."""
    texts = [
        _verdict(scope, question)
        for scope in section["scopes"]
        for question in scope["questions"][:1]
    ]
    return [*texts, *_list_sentences(section)]


def _verdict(scope: Mapping[str, Any], question: Mapping[str, Any]) -> str:
    first = question["rows"][0]
    figure = first[AVERAGE_PRECISION]
    if first["groups"] == 1:
        return (
            f"{title_of(scope, question)}: this cannot be measured, because the recordings of one "
            f"group alone have a right answer (n = {first['n']})."
        )
    text = (
        f"{title_of(scope, question)}: {space_name(first)} has the largest mean average precision, "
        f"{figure['mean']:.3f} (95 % confidence interval {figure['low']:.3f} to "
        f"{figure['high']:.3f}; random ranking {figure['random']:.3f}; n = {_sizes(first)})."
    )
    tests = list(_tests(question, AVERAGE_PRECISION, baseline=True))
    if tests:
        text += " " + _split(tests, f"the best baseline, {tests[0]['against']}")
    pairs = list(_tests(question, AVERAGE_PRECISION, baseline=False))
    if pairs:
        differences = [
            f"{test['space']} from {test['against']}" for test in pairs if _is_shown(test)
        ]
        text += (
            f" Of {_count(len(pairs), 'pair')} of encoders, these are shown to differ: "
            f"{', '.join(differences)}."
            if differences
            else f" No two of the encoders are shown to differ ({_count(len(pairs), 'pair')})."
        )
    return text


def _split(tests: Sequence[Mapping[str, Any]], control: str) -> str:
    """Which spaces are shown to be better or worse than a control, and which are not."""
    parts = []
    better = [t["space"] for t in tests if _is_shown(t) and t["difference"] > 0]
    worse = [t["space"] for t in tests if _is_shown(t) and t["difference"] < 0]
    neither = [t["space"] for t in tests if not _is_shown(t)]
    for names, text in (
        (better, "Shown to be better than"),
        (worse, "Shown to be worse than"),
        (neither, "Not shown to differ from"),
    ):
        if names:
            parts.append(f"{text} {control}: {', '.join(names)}.")
    return " ".join(parts)


def _sizes(row: Mapping[str, Any]) -> str:
    return f"{_count(row['n'], 'recording')} of {_count(row['groups'], 'group')}"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _is_shown(test: Mapping[str, Any]) -> bool:
    return bool(test["p_holm"] < SIGNIFICANT)


def _list_sentences(section: Mapping[str, Any]) -> Iterator[str]:
    """How much of the library the lists reach, and whether that costs precision."""
    if not section["recordings"]:
        yield "A library of fewer than two tracks has no recommendations to measure."
        return
    reach = [lists[IN_SERVICE]["coverage"] for lists in section["lists"]]
    by_cosine = [lists[COSINE]["coverage"] for lists in section["lists"] if COSINE in lists]
    beside = f"; lists by cosine reach {_range(by_cosine)}" if by_cosine else ""
    yield (
        f"Lists of {section['k']} reach {_range(reach)} of the {section['recordings']} recordings"
        f"{beside}."
    )
    for scope in section["scopes"]:
        rows = [
            row for row in scope["rescaling"] if row["measure"] == PRECISION and row["groups"] > 1
        ]
        for row in rows[-1:]:  # that of all encoders together, if there are several
            who = "" if row["space"] == POOLED else f" of {row['space']}"
            yield (
                f"{title_of(scope, scope['questions'][0])}: precision@{section['k']}{who} in the "
                f"recommended order minus that by cosine is {_difference(row)}, n = {_sizes(row)}."
            )


def _tests(
    question: Mapping[str, Any], measure: str, *, baseline: bool
) -> Iterator[Mapping[str, Any]]:
    for test in question["tests"]:
        if test["measure"] == measure and test["against_baseline"] == baseline:
            yield test


def _against(question: Mapping[str, Any], space: str, baseline: str) -> str:
    if space == baseline:
        return "best baseline"
    for test in _tests(question, AVERAGE_PRECISION, baseline=True):
        if test["space"] == space:
            return f"{_difference(test)}, p = {_p(test['p_holm'])}"
    return "-"


def _figure(figure: Mapping[str, float]) -> str:
    """A mean with its interval. A precision is a share, an average precision is not."""
    return f"{figure['mean']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


def _difference(row: Mapping[str, Any]) -> str:
    low, mean, high = (round(row[name], 3) + 0.0 for name in ("low", "difference", "high"))
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"  # + 0.0: no "-0.000"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _change(
    before: Mapping[str, Any] | None, after: Mapping[str, Any], name: str, spelling: str
) -> str:
    """A figure of the lists by cosine, and of those in service."""
    cells = [
        "-" if figures is None or figures[name] is None else spelling.format(figures[name])
        for figures in (before, after)
    ]
    return " → ".join(cells)


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.1%}" if low == high else f"{low:.1%} to {high:.1%}"
