"""`study_reports`: a question, the arms that were trained to answer it, and the answer."""

from collections.abc import Mapping
from dataclasses import asdict

import polars as pl
from dagster import AllPartitionMapping, AssetDep, AssetExecutionContext, MaterializeResult, asset

from melgraph.assets.dataset.datasets import DATASETS
from melgraph.assets.materialize import (
    Metadata,
    inputs_of,
    markdown_table,
    materialize,
    picture,
    plain_failures,
)
from melgraph.assets.models.studies.tables import (
    arm_row,
    chance_of,
    common,
    curves_of,
    matrix,
    right_by_repeat,
    summary_row,
)
from melgraph.assets.models.studies.trials import TRIALS, produce_trial, trial_spec
from melgraph.assets.models.tracking.tracker import UNTRACKED, Tracker, UntrackedRuns
from melgraph.assets.models.trained_models import GPU_TAGS, REPRESENTATIONS, write_json
from melgraph.assets.partitions import SPECS, study_names
from melgraph.assets.progress import progress_bar
from melgraph.assets.resources import HomeResource
from melgraph.ml.errors import UserError
from melgraph.ml.specs import choose
from melgraph.ml.specs.study import StudySpec, Trial, arm_recipe, trial_of
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.errors import StorageError
from melgraph.storage.records import Spec
from melgraph.storage.tables import write_table

STAGE = 1
STUDY_REPORTS = "study_reports"
TABLE, REPORT = "arms.parquet", "report.json"
ARMS, DIFFERENCES, CURVES_PICTURE = "arms.png", "differences.png", "curves.png"


def study_named(name: str) -> StudySpec:
    """The study of a partition.

    Raises:
        UserError: there is none; the message lists those there are.
    """
    choose(SPECS.studies, [name], kind="study", where="the partition of study_reports")
    return SPECS.studies[name]


def arm_trials(study: StudySpec) -> dict[str, tuple[Trial, str]]:
    """The trial of each arm, and the dataset it is held on."""
    found = {}
    for name, arm in study.arms.items():
        base = SPECS.experiments[arm.experiment or study.experiment].model_dump()
        recipe = arm_recipe(study, arm, base)
        found[name] = trial_of(study, arm, recipe), recipe["dataset"]
    return found


def representations_of(study: StudySpec) -> set[str]:
    """What its arms read of each track."""
    return {t.recipe["input"]["representation"] for t, _ in arm_trials(study).values()}


def run_arms(
    store: ArtifactStore,
    study: StudySpec,
    *,
    tracker: Tracker | UntrackedRuns = UNTRACKED,
    dagster_run: str | None = None,
) -> tuple[dict[str, list[Artifact]], dict[str, str]]:
    """The trials of every arm, those that are not there yet made now; and why an arm has none.

    An arm that cannot be measured (for want of weights, say) does not keep the others from it.
    """
    planned = arm_trials(study)
    trainings = sum((t.folds or 1) * t.recipe["training"]["epochs"] for t, _ in planned.values())
    trials: dict[str, list[Artifact]] = {}
    not_measured: dict[str, str] = {}
    with progress_bar(len(study.seeds) * trainings, "epochs", "trials") as bar:
        for seed in study.seeds:  # a study that is stopped has whole repeats of all arms
            for name, (trial, dataset) in planned.items():
                if seed not in (study.arms[name].seeds or study.seeds):
                    continue
                bar.set_postfix_str(f"{name}, seed {seed}")
                if name in not_measured:
                    continue
                try:
                    spec = trial_spec(store, trial, dataset, seed)
                    found = produce_trial(
                        store, spec, tracker=tracker, dagster_run=dagster_run, report=bar.update
                    )
                    trials.setdefault(name, []).append(found)
                except (UserError, StorageError) as error:
                    not_measured[name] = error.what
                    trials.pop(name, None)
    return trials, not_measured


def study_spec(
    name: str, study: StudySpec, trials: Mapping[str, list[Artifact]], why_not: Mapping[str, str]
) -> Spec:
    """The report on these trials.

    Raises:
        UserError: the control could not be measured, so nothing can be held against it.
    """
    if study.control not in trials:
        raise UserError(
            f"the control {study.control!r} could not be measured: {why_not[study.control]}",
            where=f"study {name}",
            remedy="mend that first, or choose another control",
        )
    references = {arm: [t.reference for t in found] for arm, found in trials.items()}
    inputs = sorted({r for found in references.values() for r in found})
    snapshots = {r for found in trials.values() for t in found for r in t.record.spec.inputs}
    inputs += sorted(r for r in snapshots if r.asset == DATASETS)
    config = {
        "title": study.title,
        "question": study.question,
        "control": study.control,
        "arms": [arm for arm in study.arms if arm in trials],
        "titles": {arm: study.arms[arm].title for arm in study.arms},
        "trials": {arm: [str(r) for r in found] for arm, found in references.items()},
        "not_measured": dict(why_not),
    }
    return Spec(STUDY_REPORTS, name, STAGE, tuple(inputs), config)


def write_study_report(store: ArtifactStore, work: Work) -> None:
    """Hold every arm against the control: table, pictures, and the sentence that answers."""
    from melgraph.ml import plots
    from melgraph.ml.evaluation.paired import compare, estimate, holm
    from melgraph.ml.evaluation.verdicts import verdict

    config = work.spec.config
    by_name = {str(t.reference): t for t in inputs_of(store, work.spec, TRIALS)}
    trials = {arm: [by_name[name] for name in config["trials"][arm]] for arm in config["arms"]}
    control = config["control"]
    right = {arm: right_by_repeat(found) for arm, found in trials.items()}
    estimates = {}
    for arm, table in right.items():
        estimates[arm] = estimate(matrix(table), table["group"].to_numpy())
    comparisons = {}
    for arm in right:
        if arm != control:
            mine, theirs, groups = common(right[arm], right[control])
            if len(groups):
                comparisons[arm] = compare(mine, theirs, groups)
    adjusted = dict(zip(comparisons, holm([c.p_value for c in comparisons.values()]), strict=True))
    chance = chance_of(right[control])
    answer = verdict(
        control, estimates, comparisons, adjusted, config["not_measured"], chance=chance
    )
    rows = [arm_row(arm, trials[arm], estimates[arm], comparisons.get(arm), adjusted.get(arm))
            for arm in trials]  # fmt: skip
    write_table(pl.DataFrame(rows, infer_schema_length=None), work.folder / TABLE)
    (work.folder / ARMS).write_bytes(plots.arms_chart(estimates, control=control, chance=chance))
    if comparisons:
        differences = plots.differences_chart(comparisons, control=control)
        (work.folder / DIFFERENCES).write_bytes(differences)
    curves = {arm: curves_of(found) for arm, found in trials.items()}
    (work.folder / CURVES_PICTURE).write_bytes(plots.curves_chart(curves))
    data = inputs_of(store, work.spec, DATASETS)
    work.facts.update(
        question=config["question"],
        answer=answer,
        control=control,
        arms=rows,
        chance=chance,
        not_measured=config["not_measured"],
        titles=config["titles"],
        datasets=[str(snapshot.reference) for snapshot in data],
        notes=sorted(
            {note for found in trials.values() for t in found for note in t.facts["notes"]}
        ),
    )
    report = {
        "facts": dict(work.facts),
        "estimates": {arm: asdict(found) for arm, found in estimates.items()},
        "comparisons": {arm: asdict(found) for arm, found in comparisons.items()},
    }
    write_json(work.folder / REPORT, report)


@asset(
    partitions_def=study_names,
    deps=[AssetDep(DATASETS, partition_mapping=AllPartitionMapping()), *REPRESENTATIONS],
    group_name="models",
    code_version=str(STAGE),
    kinds={"pytorch", "mlflow"},
    pool="gpu",
    op_tags=GPU_TAGS,
)
def study_reports(
    context: AssetExecutionContext, home: HomeResource, tracking: Tracker
) -> MaterializeResult:
    """A question, answered: every arm trained on the same folds with the same seeds, held against
    the control by paired tests, with intervals and one sentence that says what came out.

    Partitions are the studies that were asked for: add one by its name, or `melgraph run --study
    NAME`. What a study trained is kept arm by arm and seed by seed: stopped, it goes on.
    """
    with plain_failures():
        store = home.store()
        name = context.partition_key
        study = study_named(name)
        trials, why_not = run_arms(store, study, tracker=tracking, dagster_run=context.run_id)
        spec = study_spec(name, study, trials, why_not)
    return materialize(context, store, spec, write_study_report, _show)


def _show(artifact: Artifact) -> Metadata:
    facts = artifact.facts
    shown: Metadata = {
        "question": facts["question"],
        "answer": facts["answer"],
        "arms": markdown_table([summary_row(row) for row in facts["arms"]]),
        "accuracies": picture(artifact.folder / ARMS),
        "learning curves": picture(artifact.folder / CURVES_PICTURE),
    }
    if (artifact.folder / DIFFERENCES).is_file():
        shown["differences from the control"] = picture(artifact.folder / DIFFERENCES)
    if facts["not_measured"]:
        rows = [{"arm": arm, "not measured": why} for arm, why in facts["not_measured"].items()]
        shown["not measured"] = markdown_table(rows)
    return shown
