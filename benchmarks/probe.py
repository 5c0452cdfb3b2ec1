"""A linear probe of frozen embeddings, compared with the arms of the study `recipes`.

    python benchmarks/probe.py HOME

HOME is that of `benchmarks/studies/run.py` and `benchmarks/spaces.py`. A logistic regression (C =
1, standardised vectors) is trained on the frozen track embeddings of each encoder, with the folds
and seeds of the study `recipes`. `ml.evaluation.paired` then compares its predictions with those of
every arm of the study for the same tracks.
"""

import os
import sys
import warnings
from pathlib import Path

import numpy as np

COLLECTIONS = ("emotify", "gtzan")
PROBED = ("musicnn", "fcn", "crnn", "features", "mel")
CHOSEN = "musicnn"  # chosen before the results were seen: the default of `melgraph tag`


def main() -> None:
    os.environ |= {"MELGRAPH_HOME": str(Path(sys.argv[1]).resolve()), "MELGRAPH_LABEL_LEVEL": "2"}
    from melgraph.assets.models.studies.trials import TrialReader
    from melgraph.assets.settings import current_home
    from melgraph.storage.artifacts import ArtifactStore

    store = ArtifactStore(current_home())
    for collection in COLLECTIONS:
        report = store.need("study_reports", f"{collection}-recipes")
        named = report.record.spec.config["trials"]
        readers = TrialReader.inputs_of(store, report.record.spec)
        trials = {str(trial.reference): trial for trial in readers}
        arms = {arm: [trials[name] for name in names] for arm, names in named.items()}
        probes = {name: probe(store, f"{collection}-{name}", arms["ours"]) for name in PROBED}
        show(collection, probes, arms)


def probe(store, encoder, trials):
    """Which tracks the probe predicts correctly, seed by seed, in the form of `right_by_repeat`."""
    import polars as pl
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from melgraph.ml.splits.folds import assign_folds
    from melgraph.storage.tables import read_table

    partitions = [p for p in store.partitions("embeddings") if p.startswith(f"{encoder}+")]
    tables = [read_table(store.need("embeddings", p).folder / "tracks.parquet") for p in partitions]
    vectors = pl.concat(tables).unique("track_id", keep="first")
    answers = None
    for trial in trials:
        table = trial.correct().select("track_id", "label", "group")
        features = table.join(vectors, on="track_id", maintain_order="left")["vector"].to_numpy()
        _, labels = np.unique(table["label"].to_numpy(), return_inverse=True)
        seed, n_folds = trial.seed, trial.spec.config["folds"]
        groups = table["group"].to_numpy()
        folds = assign_folds("group", labels=labels, groups=groups, n_folds=n_folds, seed=seed)
        right = np.zeros(len(labels), bool)
        for fold in range(n_folds):
            held_out = folds == fold
            model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(features[~held_out], labels[~held_out])
            right[held_out] = model.predict(features[held_out]) == labels[held_out]
        column = pl.Series(f"right{seed}", right)
        answers = (table if answers is None else answers).with_columns(column)
    return answers


def show(collection, probes, arms):
    """Print accuracies, and the chosen probe compared with every arm."""
    from melgraph.assets.models.studies.tables import correctness_matrix, pair_arms, right_by_repeat
    from melgraph.ml.evaluation.paired import compare, estimate, holm

    print(f"\n### {collection}\n\n| answers | accuracy | probe of {CHOSEN} minus this | p (Holm) |")
    print("| --- | --- | --- | --- |")
    tables = {arm: right_by_repeat(trials) for arm, trials in arms.items()}
    compared = {arm: compare(*pair_arms(probes[CHOSEN], table)) for arm, table in tables.items()}
    adjusted = holm([c.p_value for c in compared.values()])
    for name, table in probes.items():
        accuracy = estimate(correctness_matrix(table), table["group"].to_numpy())
        print(f"| probe of {name} | {spell(accuracy)} | | |")
    for (arm, c), p in zip(compared.items(), adjusted, strict=True):
        accuracy = estimate(correctness_matrix(tables[arm]), tables[arm]["group"].to_numpy())
        difference = f"{100 * c.difference:+.1f} points ({100 * c.low:+.1f} to {100 * c.high:+.1f})"
        print(f"| {arm} | {spell(accuracy)} | {difference} | {p:.4f} |")


def spell(e):
    return f"{e.accuracy:.1%} ({e.low:.1%} to {e.high:.1%}), n = {e.n} of {e.n_groups} groups"


if __name__ == "__main__":
    main()
