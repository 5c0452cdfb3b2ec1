"""How good are recommendations? Makes docs/results/recommendations.md.

    python benchmarks/recommendations.py run LIBRARY HOME     # embed, recommend, report; resumes
    python benchmarks/recommendations.py print HOME ...       # the tables, as Markdown

LIBRARY holds `GENRE/*`, and HOME is named after it; `MELGRAPH_WEIGHTS` names the folder with the
taggers' weights. Nothing is tuned. The network of our own is trained without the cross-validation
of its evaluation, which recommendations do not use. The tables are those of the asset
`recommendation_report`; the last one joins the queries of all homes.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

CNN = "recommending-cnn"
ENCODERS = (
    "musicnn-mn04-features",
    "musicnn-jamendo",
    "mn04-audioset",
    "fcn-jamendo",
    CNN,
    "audio-features",
    "mel-statistics",
)


def main() -> None:
    what, *arguments = sys.argv[1:]
    if what == "print":
        return show([Path(home) for home in arguments])
    library, home = arguments
    os.environ["MELGRAPH_HOME"] = home
    write_specs(Path(home) / "specs")
    from melgraph.pipelines.cli import main as melgraph

    raise SystemExit(melgraph(["run", "--library", library, "--home", home, "--experiment", CNN]))


def write_specs(folder: Path) -> None:
    """Specify the network, its encoder, and the encoders in service."""
    texts = {
        f"experiments/{CNN}": 'extends = "small-cnn"\ntitle = "Small CNN"\nfolds = 0\n',
        f"encoders/{CNN}": f'title = "Small CNN"\nkind = "experiment"\nexperiment = "{CNN}"\n',
        "encoders": f"in_service = {list(ENCODERS)}\n",
    }
    for name, text in texts.items():
        path = folder / f"{name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def show(homes: list[Path]) -> None:
    """The tables of each home, and what local scaling changes in all of them together."""
    from melgraph.assets.recommendations.report.reports import RecommendationReport
    from melgraph.storage.artifacts import ArtifactStore
    from melgraph.storage.home import open_home

    reports = {
        home.name: RecommendationReport.current(ArtifactStore(open_home(home)), "all")
        for home in homes
    }
    for name, report in reports.items():
        (section,) = report.sections
        scopes = {scope["scope"]: scope for scope in section["scopes"]}
        print(f"\n## {name}: {section['recordings']} recordings\n")
        show_collection(section, scopes["all"])
        if "held_out" in scopes:
            print("\nOnly the test split, and with the network that was trained on the rest:\n")
            show_scope(scopes["held_out"])
        show_pairs(scopes["all"])
    print("\n## Recommended order minus order by cosine\n")
    show_rescaling(reports)


def show_collection(section: dict[str, Any], scope: dict[str, Any]) -> None:
    """A row per encoder in service that was not trained here: all questions, and the lists."""
    from melgraph.assets.recommendations.report.tables import list_rows, space_name

    questions = {one["question"]: one for one in scope["questions"]}
    lists = {row["encoder"]: row for row in list_rows(section)}
    names = [f"same {name}: precision@10; MAP; p" for name in questions]
    names[:1] = ["same label: precision@10", "same label: MAP", "minus the best baseline; p"]
    print_row(["encoder", *names, "recordings in a list", "largest hub"])
    print_row(["---"] * (len(names) + 3))
    for row in questions["label"]["rows"]:
        of_space = [
            next(one for one in question["rows"] if one["space"] == row["space"])
            for question in questions.values()
        ]
        cells = [
            f"{one['precision']['mean']:.3f}; {figure(one['average_precision'])}; "
            f"{against(question, row['space'])[1]}"
            for question, one in zip(questions.values(), of_space, strict=True)
        ]
        cells[:1] = [
            figure(row["precision"]),
            figure(row["average_precision"]),
            "; ".join(filter(None, against(questions["label"], row["space"]))),
        ]
        of_lists = lists[row["space"]]
        print_row(
            [space_name(row), *cells, of_lists["recordings in a list"], of_lists["largest hub"]]
        )
    first = [question["rows"][0] for question in questions.values()]
    for name, of_lists in lists.items():
        if name not in {row["space"] for row in questions["label"]["rows"]}:
            cells = [of_lists["recordings in a list"], of_lists["largest hub"]]
            print_row([f"{name} (trained here)", *["-"] * len(names), *cells])
    random = [
        [f"{row[name]['random']:.3f}" for name in ("precision", "average_precision")]
        for row in first
    ]
    random = [*random[0], "-", *("; ".join(both) for both in random[1:])]
    print_row(["random ranking", *random, "-", "-"])
    sizes = [f"{row['n']} of {row['groups']} groups" for row in first]
    print_row(["queries", sizes[0], sizes[0], "-", *sizes[1:], "-", "-"])


def show_scope(scope: dict[str, Any]) -> None:
    """A row per encoder: the first question of a scope."""
    from melgraph.assets.recommendations.report.tables import figure_rows

    rows = figure_rows(scope["questions"][0], 10)
    print_row(list(rows[0]))
    print_row(["---"] * len(rows[0]))
    for row in rows:
        print_row(list(row.values()))


def show_pairs(scope: dict[str, Any]) -> None:
    """The pairs of encoders whose interval excludes 0 before any correction, of all questions."""
    n_pairs, texts = 0, []
    for question in scope["questions"]:
        for test in question["tests"]:
            if test["against_baseline"] or test["measure"] != "average_precision":
                continue
            n_pairs += 1
            if test["low"] > 0 or test["high"] < 0:
                texts.append(
                    f"same {question['question']}, {test['space']} minus {test['against']} "
                    f"{difference(test)}, p = {test['p_holm']:.3f}"
                )
    print(
        f"\nPairs of encoders, mean average precision: {n_pairs} intervals, of which "
        f"{n_pairs - len(texts)} contain 0. {'; '.join(texts)}".rstrip()
    )


def show_rescaling(reports: dict[str, Any]) -> None:
    """The difference of precision, all encoders together: of each home, and of all homes."""
    import polars as pl

    from melgraph.ml.evaluation.paired import compare

    print_row(["queries", *reports, "all collections"])
    print_row(["---"] * (len(reports) + 2))
    for title, is_query in (
        ("test split (open: all recordings)", (pl.col("split") == "test") | pl.col("no_split")),
        ("all recordings", pl.lit(True)),
    ):
        arms, controls, groups = [], [], []
        for name, report in reports.items():
            table = pl.read_parquet(report.artifact.folder / "queries.parquet")
            table = table.with_columns(no_split=pl.col("split").is_null().all())
            table = table.filter(is_query, pl.col("space") != CNN).sort("track_id", "space")
            both = [
                np.stack(
                    table.filter(pl.col("ranking") == ranking)
                    .group_by("track_id", maintain_order=True)
                    .agg("label_precision")["label_precision"]
                    .to_numpy()
                ).T
                for ranking in ("in_service", "cosine")
            ]
            first = table.filter(pl.col("ranking") == "cosine").unique(
                "track_id", keep="first", maintain_order=True
            )
            arms.append(both[0])
            controls.append(both[1])
            groups.append(np.array([f"{name} {group}" for group in first["group"]]))
        several = [*zip(arms, controls, groups, strict=True)]
        several.append((np.hstack(arms), np.hstack(controls), np.concatenate(groups)))
        cells = []
        for arm, control, of_queries in several:
            one = compare(arm, control, of_queries)
            cells.append(
                f"{100 * one.difference:+.1f} ({100 * one.low:+.1f} to {100 * one.high:+.1f}); "
                f"{one.n} of {one.n_groups}"
            )
        print_row([title, *cells])


def against(question: dict[str, Any], space: str) -> tuple[str, str]:
    """The difference of mean average precision from the best baseline, and its p-value."""
    from melgraph.assets.recommendations.report.tables import best_baseline

    for test in question["tests"]:
        is_of_space = (test["space"], test["measure"]) == (space, "average_precision")
        if is_of_space and test["against_baseline"]:
            return difference(test), f"{test['p_holm']:.3f}"
    return "", "best baseline" if space == best_baseline(question) else "-"


def figure(one: dict[str, float]) -> str:
    return f"{one['mean']:.3f} ({one['low']:.3f} to {one['high']:.3f})"


def difference(test: dict[str, float]) -> str:
    return f"{test['difference']:+.3f} ({test['low']:+.3f} to {test['high']:+.3f})"


def print_row(cells: list[str]) -> None:
    print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
