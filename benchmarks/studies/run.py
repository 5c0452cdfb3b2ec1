"""Run the studies on real recordings and print the tables of docs/results/studies.md.

    python benchmarks/studies/run.py LIBRARY HOME prepare
    python benchmarks/studies/run.py LIBRARY HOME emotify       # the two may run side by side
    python benchmarks/studies/run.py LIBRARY HOME gtzan [STUDY ...]
    python benchmarks/studies/run.py LIBRARY HOME print

LIBRARY holds `emotify/GENRE/*` and `gtzan/GENRE/*`; next to LIBRARY lie `metadata/gtzan` with the
lists of the published split, and `weights/imagenet` with the weights of EfficientNet-Lite 0.
`prepare` copies the specifications beside this file and these weights into the home, ingests the
library, and trains the models whose weights other arms start from. The name of a collection runs
its studies; trials are stored, so a stopped run resumes. `print` writes the tables as Markdown.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two collections side by side on two cores
HERE = Path(__file__).parent
ORDER = ("leakage", "augmentation", "recipes", "crops", "mel-cnn", "pretrained-efficientnet",
         "pretrained-resnet", "resnet-or-vit", "architectures", "hard-examples", "representation",
         "sources-dense", "sources-architectures", "sources-images")  # fmt: skip
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
    weights = lists.parents[1] / "weights" / "imagenet" / "tf_efficientnet_lite0.safetensors"
    if weights.is_file():  # under the name that `weights = "imagenet"` looks for
        (home / "weights").mkdir(parents=True, exist_ok=True)
        shutil.copy(weights, home / "weights" / "tf_efficientnet_lite0.in1k.safetensors")
    from melgraph.pipelines.cli import main as melgraph

    arguments = ["run", "--library", str(library), "--home", str(home), "--label-level", "2"]
    for name in STARTS:
        arguments += ["--experiment", name]
    for name in REPRESENTATIONS:
        arguments += ["--representation", name]
    if melgraph(arguments):
        raise SystemExit("the preparation failed")


def answer(collection: str, studies: Sequence[str]) -> None:
    from melgraph.assets.context import Context
    from melgraph.assets.models.studies.reports import arm_trials, run_arms, study_named, study_spec
    from melgraph.assets.settings import current_home
    from melgraph.assets.stages import DATASETS, STUDY_REPORTS

    context = Context.open(current_home())
    specs, store = context.specs, context.store
    for name in (f"{collection}-{study}" for study in studies):
        study = study_named(specs, name)
        for dataset in {dataset for _, dataset in arm_trials(specs, study).values()}:
            if store.current(DATASETS.name, dataset) is None:
                store.produce(DATASETS.plan(context, dataset), partial(DATASETS.write, store))
        trials, why_not = run_arms(context, study)
        spec = study_spec(name, study, trials, why_not)
        report, _ = store.produce(spec, partial(STUDY_REPORTS.write, store))
        print(f"{STUDY_REPORTS.name}/{name}: {report.facts['answer']}", flush=True)


def show() -> None:
    from melgraph.assets.models.studies.tables import summary_row
    from melgraph.assets.settings import current_home
    from melgraph.assets.stages import STUDY_REPORTS
    from melgraph.storage.artifacts import ArtifactStore

    store = ArtifactStore(current_home())
    for name in (f"{c}-{study}" for study in ORDER for c in ("emotify", "gtzan")):
        report = store.current(STUDY_REPORTS.name, name)
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
