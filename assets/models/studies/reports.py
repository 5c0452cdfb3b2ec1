"""`study_reports`: a question, the arms that were trained to answer it, and the comparison."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import polars as pl
from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.context import Context
from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.materialize import (
    plain_failures,
    produce,
    stage_asset,
)
from melgraph.assets.models.studies.tables import (
    arm_row,
    chance_of,
    correctness_matrix,
    curves_of,
    pair_arms,
    right_by_repeat,
    summary_row,
)
from melgraph.assets.models.studies.trials import TrialReader, produce_trial, trial_spec
from melgraph.assets.models.tracking.tracker import Tracker
from melgraph.assets.models.tracking.untracked import UNTRACKED, UntrackedRuns
from melgraph.assets.partitions import partition_of
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import Metadata
from melgraph.assets.stages import DATASETS, STUDY_REPORTS
from melgraph.assets.ui import markdown_table, picture, progress_bar
from melgraph.ml.errors import UserError
from melgraph.ml.specs import Specs, choose
from melgraph.ml.specs.model_input import InputSpec
from melgraph.ml.specs.study import StudySpec, Trial, arm_recipe, trial_of
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.errors import StorageError
from melgraph.storage.files import write_json
from melgraph.storage.records import Spec
from melgraph.storage.tables import write_table

TABLE, REPORT = "arms.parquet", "report.json"
ARMS, DIFFERENCES, CURVES_PICTURE = "arms.png", "differences.png", "curves.png"


def study_named(specs: Specs, name: str) -> StudySpec:
    """The study of a partition.

    Raises:
        UserError: there is no study of this name; the message lists all names.
    """
    choose(specs.studies, [name], kind="study", where="the partition of study_reports")
    return specs.studies[name]


def arm_trials(specs: Specs, study: StudySpec) -> dict[str, tuple[Trial, str]]:
    """The trial and the dataset of each arm."""
    trials = {}
    for name, arm in study.arms.items():
        base = specs.experiments[arm.experiment or study.experiment].dump_for_version()
        recipe = arm_recipe(study, arm, base)
        trials[name] = trial_of(study, arm, recipe), recipe["dataset"]
    return trials


def representations_of(specs: Specs, study: StudySpec) -> set[str]:
    """The representations that the arms of a study read."""
    recipes = [trial.recipe for trial, _ in arm_trials(specs, study).values()]
    inputs = [InputSpec.model_validate(recipe["input"]) for recipe in recipes]
    return {name for each in inputs for name in each.representations(specs.taggers)}


def run_arms(
    context: Context,
    study: StudySpec,
    *,
    tracker: Tracker | UntrackedRuns = UNTRACKED,
    dagster_run: str | None = None,
) -> tuple[dict[str, list[TrialReader]], dict[str, str]]:
    """Train the missing trials of every arm.

    An arm that cannot be measured, for example because its initial weights are missing, does not
    prevent the others.

    Args:
        context: of the home.
        study: whose arms are trained.
        tracker: logs the MLflow runs.
        dagster_run: id of the Dagster run that trains them.

    Returns:
        The trials of each measured arm, and the reason for each arm that could not be measured.
    """
    planned = arm_trials(context.specs, study)
    trainings = sum((t.folds or 1) * t.recipe["training"]["epochs"] for t, _ in planned.values())
    trials: dict[str, list[TrialReader]] = {}
    not_measured: dict[str, str] = {}
    with progress_bar(len(study.seeds) * trainings, "epochs", "trials") as bar:
        for seed in study.seeds:  # the outer loop: an interrupted study can compare all arms
            for name, (trial, dataset) in planned.items():
                if seed not in (study.arms[name].seeds or study.seeds):
                    continue
                bar.set_postfix_str(f"{name}, seed {seed}")
                if name in not_measured:
                    continue
                try:
                    trial_reader = produce_trial(
                        context.store,
                        trial_spec(context, trial, dataset, seed),
                        tracker=tracker,
                        dagster_run=dagster_run,
                        report=bar.update,
                    )
                    trials.setdefault(name, []).append(trial_reader)
                except (UserError, StorageError) as error:
                    not_measured[name] = error.what
                    trials.pop(name, None)
    return trials, not_measured


def plan_study_report(context: Context, name: str) -> Spec:
    """The report on the trials that a study would have now. Trains none of them."""
    study = study_named(context.specs, name)
    trials: dict[str, list[Spec]] = {}
    not_measured: dict[str, str] = {}
    for arm, (trial, dataset) in arm_trials(context.specs, study).items():
        seeds = [s for s in study.seeds if s in (study.arms[arm].seeds or study.seeds)]
        try:
            trials[arm] = [trial_spec(context, trial, dataset, seed) for seed in seeds]
        except (UserError, StorageError) as error:
            not_measured[arm] = error.what
    return _spec_of_trials(name, study, trials, not_measured)


def study_spec(
    name: str,
    study: StudySpec,
    trials: Mapping[str, list[TrialReader]],
    not_measured: Mapping[str, str],
) -> Spec:
    """The spec of the report on some trials.

    Args:
        name: of the study.
        study: its specification.
        trials: of each measured arm.
        not_measured: the reason for each arm that could not be measured.

    Raises:
        UserError: the control could not be measured, so no arm can be compared with it.
    """
    specs = {arm: [trial.spec for trial in repeats] for arm, repeats in trials.items()}
    return _spec_of_trials(name, study, specs, not_measured)


def _spec_of_trials(
    name: str,
    study: StudySpec,
    trials: Mapping[str, list[Spec]],
    not_measured: Mapping[str, str],
) -> Spec:
    if study.control not in trials:
        raise UserError(
            f"the control {study.control!r} could not be measured: {not_measured[study.control]}",
            where=f"study {name}",
            remedy="fix this first, or choose another control",
        )
    references = {arm: [trial.reference for trial in repeats] for arm, repeats in trials.items()}
    snapshots = {r for repeats in trials.values() for trial in repeats for r in trial.inputs}
    inputs = sorted({r for repeats in references.values() for r in repeats})
    inputs += sorted(filter(DATASETS.owns, snapshots))
    config = {
        "title": study.title,
        "question": study.question,
        "control": study.control,
        "arms": [arm for arm in study.arms if arm in trials],
        "titles": {arm: study.arms[arm].title for arm in study.arms},
        "trials": {arm: [str(r) for r in repeats] for arm, repeats in references.items()},
        "not_measured": dict(not_measured),
    }
    return STUDY_REPORTS.spec(name, tuple(inputs), config)


def write_study_report(store: ArtifactStore, work: Work) -> None:
    """Compare every arm with the control, and write the table, the pictures and the answer."""
    from melgraph.ml.evaluation.paired import compare, estimate, holm
    from melgraph.ml.evaluation.verdicts import verdict

    config = work.spec.config
    by_name = {str(trial.reference): trial for trial in TrialReader.inputs_of(store, work.spec)}
    trials = {arm: [by_name[name] for name in config["trials"][arm]] for arm in config["arms"]}
    control = config["control"]
    right = {arm: right_by_repeat(repeats) for arm, repeats in trials.items()}
    estimates = {
        arm: estimate(correctness_matrix(table), table["group"].to_numpy())
        for arm, table in right.items()
    }
    comparisons = {}
    for arm in right:
        if arm != control:
            of_arm, of_control, groups = pair_arms(right[arm], right[control])
            if len(groups):
                comparisons[arm] = compare(of_arm, of_control, groups)
    adjusted = dict(zip(comparisons, holm([c.p_value for c in comparisons.values()]), strict=True))
    chance = chance_of(right[control])
    rows = [
        arm_row(arm, trials[arm], estimates[arm], comparisons.get(arm), adjusted.get(arm))
        for arm in trials
    ]
    write_table(pl.DataFrame(rows, infer_schema_length=None), work.folder / TABLE)
    _draw(work, trials, estimates, comparisons, chance)
    work.facts.update(
        question=config["question"],
        answer=verdict(
            control, estimates, comparisons, adjusted, config["not_measured"], chance=chance
        ),
        control=control,
        arms=rows,
        chance=chance,
        not_measured=config["not_measured"],
        titles=config["titles"],
        datasets=[str(snapshot.reference) for snapshot in Snapshot.inputs_of(store, work.spec)],
        notes=sorted({note for repeats in trials.values() for t in repeats for note in t.notes}),
    )
    report = {
        "facts": dict(work.facts),
        "estimates": {arm: asdict(one) for arm, one in estimates.items()},
        "comparisons": {arm: asdict(one) for arm, one in comparisons.items()},
    }
    write_json(work.folder / REPORT, report)


def _draw(
    work: Work,
    trials: Mapping[str, list[TrialReader]],
    estimates: Mapping[str, Any],
    comparisons: Mapping[str, Any],
    chance: float,
) -> None:
    """Draw the accuracies of the arms, their differences from the control, and the curves."""
    from melgraph.ml import plots

    control = work.spec.config["control"]
    (work.folder / ARMS).write_bytes(plots.arms_chart(estimates, control=control, chance=chance))
    if comparisons:
        differences = plots.differences_chart(comparisons, control=control)
        (work.folder / DIFFERENCES).write_bytes(differences)
    curves = {arm: curves_of(repeats) for arm, repeats in trials.items()}
    (work.folder / CURVES_PICTURE).write_bytes(plots.curves_chart(curves))


@stage_asset(STUDY_REPORTS)
def study_reports(
    context: AssetExecutionContext, home: HomeResource, tracking: Tracker
) -> MaterializeResult[None]:
    """The report of a study: a question that is answered by training and comparing several arms.

    All arms are trained on the same folds with the same seeds, and compared with the control by
    paired tests. `arms.parquet` has a row per arm with 95 % confidence intervals and p-values;
    `report.json` also has the comparisons and the answer in words. The PNG files show accuracies,
    differences and learning curves. Each partition is one study: add its name in the Dagster UI, or
    run `melgraph run --study NAME`. Each arm and seed is an artifact of its own, so an interrupted
    study resumes.
    """
    with plain_failures():
        opened, name = home.context(), partition_of(context)
        study = study_named(opened.specs, name)
        trials, not_measured = run_arms(opened, study, tracker=tracking, dagster_run=context.run_id)
        spec = study_spec(name, study, trials, not_measured)
    return produce(context, opened, STUDY_REPORTS, spec)


def show(artifact: Artifact) -> Metadata:
    """The question, its answer, and the figures of every arm."""
    facts = artifact.facts
    metadata: Metadata = {
        "question": facts["question"],
        "answer": facts["answer"],
        "arms": markdown_table([summary_row(row) for row in facts["arms"]]),
        "accuracies": picture(artifact.folder / ARMS),
        "learning curves": picture(artifact.folder / CURVES_PICTURE),
    }
    if (artifact.folder / DIFFERENCES).is_file():
        metadata["differences from the control"] = picture(artifact.folder / DIFFERENCES)
    if facts["not_measured"]:
        rows = [{"arm": arm, "reason": why} for arm, why in facts["not_measured"].items()]
        metadata["not measured"] = markdown_table(rows)
    return metadata
