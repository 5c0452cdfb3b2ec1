"""The studies on real recordings, as docs/results/studies.md has them.

    python benchmarks/studies/run.py LIBRARY HOME prepare
    python benchmarks/studies/run.py LIBRARY HOME emotify       # the two may run side by side
    python benchmarks/studies/run.py LIBRARY HOME gtzan [STUDY ...]
    python benchmarks/studies/run.py LIBRARY HOME print

LIBRARY holds `emotify/GENRE/*` and `gtzan/GENRE/*`, and beside it `metadata/gtzan` with the lists
of the published split. `prepare` copies the specs that lie beside this file into the home, ingests,
and trains what the transfers start from; a collection's name answers its studies, each trial kept,
so that it goes on where it was stopped; `print` writes the tables as Markdown.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two collections side by side on two cores
HERE = Path(__file__).parent
ORDER = ("leakage", "augmentation", "recipes", "crops", "mel-cnn", "pretrained-resnet",
         "resnet-or-vit", "architectures", "hard-examples", "representation")  # fmt: skip
STARTS = ("emotify-cnn", "gtzan-cnn", "emotify-resnet", "gtzan-resnet")
REPRESENTATIONS = ("mfcc", "waveforms", "stft_spectrograms")


def main() -> None:
    library, home, what, *studies = sys.argv[1:]
    os.environ |= {"MELGRAPH_HOME": home, "MELGRAPH_LABEL_LEVEL": "2"}
    if what == "prepare":
        prepare(Path(library), Path(home))
    elif what == "print":
        show()
    else:
        answer(what, studies or ORDER)


def prepare(library: Path, home: Path) -> None:
    shutil.copytree(HERE / "specs", home / "specs", dirs_exist_ok=True)
    lists = library.resolve().parent / "metadata" / "gtzan"
    shutil.copytree(lists, home / "metadata" / "gtzan", dirs_exist_ok=True)
    from melgraph.pipelines.cli import main as melgraph

    arguments = ["run", "--library", str(library), "--home", str(home), "--label-level", "2"]
    for name in STARTS:
        arguments += ["--experiment", name]
    for name in REPRESENTATIONS:
        arguments += ["--representation", name]
    if melgraph(arguments):
        raise SystemExit("the preparation failed")


def answer(collection: str, studies: Sequence[str]) -> None:
    from melgraph.assets.dataset.datasets import DATASETS, dataset_spec, write_dataset
    from melgraph.assets.models.studies.reports import (
        STUDY_REPORTS,
        arm_trials,
        run_arms,
        study_named,
        study_spec,
        write_study_report,
    )
    from melgraph.assets.settings import current_home
    from melgraph.storage.artifacts import ArtifactStore
    from melgraph.storage.catalogue import Catalogue

    home = current_home()
    store, catalogue = ArtifactStore(home), Catalogue(home.catalogue)
    for study in studies:
        name = f"{collection}-{study}"
        asked = study_named(name)
        for dataset in {dataset for _, dataset in arm_trials(asked).values()}:
            if store.current(DATASETS, dataset) is None:
                spec = dataset_spec(store, catalogue, dataset)
                store.produce(spec, partial(write_dataset, store))
        trials, why_not = run_arms(store, asked)
        spec = study_spec(name, asked, trials, why_not)
        report, _ = store.produce(spec, partial(write_study_report, store))
        print(f"{STUDY_REPORTS}/{name}: {report.facts['answer']}", flush=True)


def show() -> None:
    from melgraph.assets.models.studies.reports import STUDY_REPORTS
    from melgraph.assets.models.studies.tables import summary_row
    from melgraph.assets.settings import current_home
    from melgraph.storage.artifacts import ArtifactStore

    store = ArtifactStore(current_home())
    for name in (f"{c}-{study}" for study in ORDER for c in ("emotify", "gtzan")):
        report = store.current(STUDY_REPORTS, name)
        if report is None:
            continue
        facts = report.facts
        rows = [summary_row(row) for row in facts["arms"]]
        print(f"\n### {report.record.spec.config['title']}\n\n*{facts['question']}*\n")
        print(f"{facts['answer']} (Most frequent answer: {facts['chance']:.0%}.)\n")
        print("| " + " | ".join(rows[0]) + " |\n|" + " --- |" * len(rows[0]))
        for row in rows:
            print("| " + " | ".join(row.values()) + " |")
        for arm, why in facts["not_measured"].items():
            print(f"\nNot measured, {arm}: {why}.")


if __name__ == "__main__":
    main()
