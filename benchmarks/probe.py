"""Our best against the sources' own recipes: a linear probe of frozen embeddings, same folds.

    python benchmarks/probe.py HOME

HOME is that of `benchmarks/studies/run.py` and `benchmarks/spaces.py`. A logistic regression (C =
1, standardised vectors) learns from the frozen track vectors of each encoder, fold by fold as the
study `recipes` was folded, with its seeds; its answers are then held against those that every arm
of the study gave to the very same tracks, by `ml.evaluation.paired`.
"""

import os
import sys
import warnings
from pathlib import Path

import numpy as np

COLLECTIONS = ("emotify", "gtzan")
PROBED = ("musicnn", "fcn", "crnn", "features", "mel")
CHOSEN = "musicnn"  # named before the answers were seen: the default of `melgraph tag`


def main() -> None:
    os.environ |= {"MELGRAPH_HOME": str(Path(sys.argv[1]).resolve()), "MELGRAPH_LABEL_LEVEL": "2"}
    from melgraph.assets.settings import current_home
    from melgraph.storage.artifacts import ArtifactStore

    store = ArtifactStore(current_home())
    for collection in COLLECTIONS:
        report = store.need("study_reports", f"{collection}-recipes")
        named = report.record.spec.config["trials"]
        made = {str(r): store.get(r) for r in report.record.spec.inputs if r.asset == "trials"}
        arms = {arm: [made[name] for name in names] for arm, names in named.items()}
        probes = {name: probe(store, f"{collection}-{name}", arms["ours"]) for name in PROBED}
        show(collection, probes, arms)


def probe(store, encoder, trials):
    """Which tracks the probe answers rightly, seed by seed: as `right_by_repeat` gives them."""
    import polars as pl
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from melgraph.assets.models.studies.trials import right_answers
    from melgraph.ml.splits.folds import assign_folds
    from melgraph.storage.tables import read_table

    partitions = [p for p in store.partitions("embeddings") if p.startswith(f"{encoder}+")]
    tables = [read_table(store.need("embeddings", p).folder / "tracks.parquet") for p in partitions]
    vectors = pl.concat(tables).unique("track_id", keep="first")
    found = None
    for trial in trials:
        table = right_answers(trial).select("track_id", "label", "group")
        given = table.join(vectors, on="track_id", maintain_order="left")["vector"].to_numpy()
        _, labels = np.unique(table["label"].to_numpy(), return_inverse=True)
        seed, n_folds = trial.record.spec.seed, trial.record.spec.config["folds"]
        groups = table["group"].to_numpy()
        folds = assign_folds("group", labels=labels, groups=groups, n_folds=n_folds, seed=seed)
        right = np.zeros(len(labels), bool)
        for fold in range(n_folds):
            held_out = folds == fold
            model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(given[~held_out], labels[~held_out])
            right[held_out] = model.predict(given[held_out]) == labels[held_out]
        column = pl.Series(f"right{seed}", right)
        found = table.with_columns(column) if found is None else found.with_columns(column)
    return found


def show(collection, probes, arms):
    """Accuracies, and the chosen probe against every arm."""
    from melgraph.assets.models.studies.tables import common, matrix, right_by_repeat
    from melgraph.ml.evaluation.paired import compare, estimate, holm

    print(
        f"\n### {collection}\n\n| answers | accuracy | the probe of {CHOSEN} less this | p (Holm) |"
    )
    print("| --- | --- | --- | --- |")
    tables = {arm: right_by_repeat(found) for arm, found in arms.items()}
    compared = {arm: compare(*common(probes[CHOSEN], table)) for arm, table in tables.items()}
    adjusted = holm([c.p_value for c in compared.values()])
    for name, table in probes.items():
        found = estimate(matrix(table), table["group"].to_numpy())
        print(f"| probe of {name} | {spell(found)} | | |")
    for (arm, c), p in zip(compared.items(), adjusted, strict=True):
        found = estimate(matrix(tables[arm]), tables[arm]["group"].to_numpy())
        difference = f"{100 * c.difference:+.1f} points ({100 * c.low:+.1f} to {100 * c.high:+.1f})"
        print(f"| {arm} | {spell(found)} | {difference} | {p:.4f} |")


def spell(e):
    return f"{e.accuracy:.1%} ({e.low:.1%} to {e.high:.1%}), n = {e.n} of {e.n_groups} groups"


if __name__ == "__main__":
    main()
