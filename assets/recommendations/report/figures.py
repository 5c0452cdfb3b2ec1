"""The figures of the report: means with intervals, paired tests, and how even the lists are."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from melgraph.assets.recommendations.report.measurements import (
    AVERAGE_PRECISION,
    COSINE,
    IN_SERVICE,
    MEASURES,
    RANKINGS,
    Measurement,
    Queries,
    Values,
)
from melgraph.assets.recommendations.report.recordings import Mask, Recordings, Rows
from melgraph.assets.recommendations.report.spaces import NearLists
from melgraph.ml.similarity.hubness import hubness

HELD_OUT, ALL = "held_out", "all"  # scopes: queries of the test split; all queries
POOLED = "all encoders"
_DIGITS = 4


@dataclass(frozen=True)
class Scope:
    """Some queries, and the spaces that are compared with them.

    Attributes:
        name: `HELD_OUT` or `ALL`.
        queries: bool `[query]`.
        measurements: of the spaces. Those whose encoder was trained on recordings of this library
            are only in the first scope, so that all spaces of a scope have the same queries.
    """

    name: str
    queries: Mask
    measurements: Sequence[Measurement]


def scopes_of(queries: Queries, measurements: Sequence[Measurement]) -> Iterator[Scope]:
    """The scopes that differ and have queries."""
    held_out, everything = queries.held_out, np.ones(len(queries.rows), bool)
    if held_out.any():
        yield Scope(HELD_OUT, held_out, measurements)
    untrained = [one for one in measurements if not one.trained_here]
    if untrained and not held_out.all():
        yield Scope(ALL, everything, untrained)


def scope_facts(
    scope: Scope, queries: Queries, chances: Mapping[tuple[str, str], Values]
) -> dict[str, Any]:
    """The figures of a scope: for each question a row per space, and the paired tests.

    `rescaling` compares the recommended order with that by cosine, for the first question.
    """
    questions: list[dict[str, Any]] = []
    rescaling: list[dict[str, Any]] = []
    for question in queries.recordings.questions:
        rows = [_row(one, scope, question.name, queries, chances) for one in scope.measurements]
        rows = [row for row in rows if row["n"]]
        if not rows:
            continue
        rows.sort(key=lambda row: -row[AVERAGE_PRECISION]["mean"])
        names = [row["space"] for row in rows]
        evaluated = [one for one in scope.measurements if one.space in names]
        questions.append(
            {
                "question": question.name,
                "rows": rows,
                "tests": _tests(evaluated, scope, question.name, queries),
            }
        )
        if len(questions) == 1:
            rescaling = _rescaling(evaluated, scope, question.name, queries)
    return {"scope": scope.name, "questions": questions, "rescaling": rescaling}


def _row(
    one: Measurement,
    scope: Scope,
    question: str,
    queries: Queries,
    chances: Mapping[tuple[str, str], Values],
) -> dict[str, Any]:
    from melgraph.ml.similarity.quality import mean_figure

    row: dict[str, Any] = {
        "space": one.space,
        "baseline": one.is_baseline,
        "trained_here": one.trained_here,
        "n": 0,
        "groups": 0,
    }
    for measure in MEASURES:
        figure = mean_figure(
            one.values[IN_SERVICE, question, measure][scope.queries],
            chances[question, measure][scope.queries],
            queries.groups[scope.queries],
        )
        row |= {"n": figure.n_queries, "groups": figure.n_groups}
        row[measure] = {
            "mean": finite(figure.mean),
            "low": finite(figure.low),
            "high": finite(figure.high),
            "random": finite(figure.chance),
        }
    return row


def _tests(
    evaluated: Sequence[Measurement], scope: Scope, question: str, queries: Queries
) -> list[dict[str, Any]]:
    """Each encoder against the best baseline, and each pair of encoders by average precision.

    The best baseline is that with the largest mean on these queries, which favours it. The p-values
    are corrected by Holm's method for all tests of a measure.
    """
    from melgraph.ml.evaluation.paired import holm

    tests = []
    for measure in MEASURES:
        values = {
            one.space: one.values[IN_SERVICE, question, measure][scope.queries] for one in evaluated
        }
        means = {name: float(np.nanmean(one)) for name, one in values.items()}
        baselines = [one.space for one in evaluated if one.is_baseline]
        encoders = [one.space for one in evaluated if not one.is_baseline]
        encoders.sort(key=lambda name: -means[name])
        pairs = list(combinations(encoders, 2)) if measure == AVERAGE_PRECISION else []
        if baselines:
            best = max(baselines, key=lambda name: means[name])
            pairs = [(name, best) for name in encoders] + pairs
        family = []
        for name, other in pairs:
            test = _difference(values[name][None], values[other][None], scope, queries)
            if test is not None:
                labels = {"measure": measure, "space": name, "against": other}
                family.append(labels | {"against_baseline": other in baselines} | test)
        adjusted = holm([test.pop("p") for test in family]) if family else []
        tests += [test | {"p_holm": p} for test, p in zip(family, adjusted, strict=True)]
    return tests


def _rescaling(
    evaluated: Sequence[Measurement], scope: Scope, question: str, queries: Queries
) -> list[dict[str, Any]]:
    """The recommended order minus the order by cosine: of each encoder, and of all together."""
    rows = []
    with_lists = [one for one in evaluated if one.has_lists]
    for measure in MEASURES:
        by_ranking = {
            ranking: np.stack([one.values[ranking, question, measure] for one in with_lists])
            for ranking in RANKINGS
            if with_lists
        }
        parts = [(one.space, slice(i, i + 1)) for i, one in enumerate(with_lists)]
        if len(with_lists) > 1:
            parts.append((POOLED, slice(None)))
        for name, part in parts:
            test = _difference(
                by_ranking[IN_SERVICE][part][:, scope.queries],
                by_ranking[COSINE][part][:, scope.queries],
                scope,
                queries,
            )
            if test is not None:
                del test["p"]  # the interval says it; nothing is corrected here
                rows.append({"measure": measure, "space": name} | test)
    return rows


def _difference(
    values: Values, control: Values, scope: Scope, queries: Queries
) -> dict[str, Any] | None:
    """A paired difference over groups, with its 95 % interval; None without common queries.

    Args:
        values: float64 `[repeat, query]`.
        control: in the same form.
        scope: whose queries these are.
        queries: all queries.
    """
    from melgraph.ml.evaluation.paired import compare

    if np.isnan(values - control).all():
        return None
    one = compare(values, control, queries.groups[scope.queries])
    return {
        "difference": finite(one.difference),
        "low": finite(one.low),
        "high": finite(one.high),
        "smallest": finite(one.smallest),
        "p": one.p_value,
        "n": one.n,
        "groups": one.n_groups,
    }


def list_facts(name: str, lists: NearLists, recordings: Recordings) -> dict[str, Any]:
    """How even the lists of a space are, by cosine and in service."""
    facts: dict[str, Any] = {"space": name, "recordings": len(recordings)}
    for ranking, near in ((COSINE, lists.by_cosine), (IN_SERVICE, lists.in_service)):
        if near is None:
            continue
        figures = hubness(near, len(recordings))
        row = figures.largest_hub_row
        facts[ranking] = {
            "coverage": finite(figures.coverage),
            "skewness": finite(figures.skewness),
            "largest_hub": figures.largest_hub,
            "hub": None if row is None else recordings.table["path"][row],
        }
    return facts


def occurrences(near: Rows | None, n: int) -> NDArray[np.int64] | None:
    """int64 `[recording]`: the number of lists that each recording is in."""
    return None if near is None else np.bincount(near[near >= 0], minlength=n)


def query_table(queries: Queries, measurements: Sequence[Measurement]) -> pl.DataFrame:
    """A row per query, space and ranking, with a column for each question and measure."""
    table = queries.recordings.table[queries.rows]
    of_queries = table.select("track_id", "path", "group", "split")
    parts = [
        of_queries.with_columns(
            pl.lit(one.space).alias("space"),
            pl.lit(ranking).alias("ranking"),
            *(
                pl.Series(f"{question}_{measure}", values, nan_to_null=True)
                for (of_ranking, question, measure), values in one.values.items()
                if of_ranking == ranking
            ),
        )
        for one in measurements
        for ranking in RANKINGS
        if ranking == IN_SERVICE or one.has_lists
    ]
    return pl.concat(parts)


def finite(value: float) -> float | None:
    """The rounded number; None if JSON cannot hold it."""
    return round(float(value), _DIGITS) if math.isfinite(value) else None
