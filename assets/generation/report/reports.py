"""`generation_report`: all generated sounds compared with controls, by independent judges."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import polars as pl
from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.context import Context
from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.generation.report.figures import Verdicts, recipe_summary, sound_rows
from melgraph.assets.generation.report.judges import Judge, judge_inputs, judges_of
from melgraph.assets.generation.report.measurements import Measurement, Measurer, cases_of
from melgraph.assets.generation.report.sets import set_distances
from melgraph.assets.generation.report.tables import (
    absent_judges,
    judge_rows,
    overview_rows,
    recipe_view,
    table_rows,
)
from melgraph.assets.generation.sounds import Sounds
from melgraph.assets.materialize import materialize, stage_asset
from melgraph.assets.models.trained_model import TrainedModel
from melgraph.assets.readers import Reader
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import ONE, Metadata, Stage
from melgraph.assets.stages import DATASETS, GENERATION_REPORT, GENERATORS
from melgraph.assets.ui import markdown_table
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.files import write_json
from melgraph.storage.records import Spec
from melgraph.storage.tables import write_table

TABLE, REPORT = "sounds.parquet", "report.json"
CHAMPIONS = "champions"  # key of the config: the judges that are there as champions


class GenerationReport(Reader):
    """A committed `generation_report`."""

    stage: ClassVar[Stage] = GENERATION_REPORT

    @property
    def recipes(self) -> list[dict[str, Any]]:
        """The summary of each recipe, as `recipe_summary` makes it."""
        recipes: list[dict[str, Any]] = self.facts["recipes"]
        return recipes

    @property
    def judges(self) -> list[dict[str, Any]]:
        """The judges: name, dataset, whether champion, and how they were fitted."""
        judges: list[dict[str, Any]] = self.facts["judges"]
        return judges


def plan_generation_report(context: Context, partition: str = ONE) -> Spec:
    """The report on the current sounds of all recipes, by the current judges.

    Raises:
        UserError: there are no sounds.
    """
    store = context.store
    several = Sounds.of_all_generators(store)
    if not several:
        raise UserError(
            "no sounds have been generated",
            where="generation_report",
            remedy="generate the sounds of a recipe first: melgraph run, or melgraph generate",
        )
    datasets = sorted({Snapshot.input_of(store, sounds.spec).name for sounds in several})
    judges = [judge for dataset in datasets for judge in judges_of(store, dataset)]
    inputs = {sounds.reference for sounds in several}
    for sounds in several:
        inputs |= {reference for reference in sounds.spec.inputs if DATASETS.owns(reference)}
    for judge in judges:
        inputs |= set(judge_inputs(judge))
    champions = sorted(judge.name for judge in judges if judge.is_champion)
    return GENERATION_REPORT.spec(partition, tuple(sorted(inputs)), {CHAMPIONS: champions})


def write_generation_report(store: ArtifactStore, work: Work) -> None:
    """Measure all sounds and their controls, and write the tables."""
    several = [
        Sounds.at(store, reference)
        for stage in GENERATORS
        for reference in sorted(filter(stage.owns, work.spec.inputs))
    ]
    judges: dict[str, list[Judge]] = {}
    for model in TrainedModel.inputs_of(store, work.spec):
        judge = Judge(model, model.name in work.spec.config[CHAMPIONS])
        judges.setdefault(judge.dataset, []).append(judge)
    with TemporaryDirectory() as folder:
        measurements = list(Measurer(judges, Path(folder)).measure(cases_of(several)))
    verdicts = {
        dataset: Verdicts(judges.get(dataset, []), _of_dataset(measurements, dataset))
        for dataset in sorted({one.case.dataset for one in measurements})
    }
    rows = sound_rows(measurements, verdicts)
    write_table(pl.DataFrame(rows, infer_schema_length=None), work.folder / TABLE)
    recipes = []
    for sounds in several:
        its = [one for one in measurements if one.case.sounds.reference == sounds.reference]
        if not its:
            continue
        of_dataset = verdicts[its[0].case.dataset]
        recipes.append(
            recipe_summary(sounds.name, its, of_dataset)
            | {"sets": set_distances(its, of_dataset.judges)}
        )
    work.facts.update(
        judges=[
            _judge_facts(judge, of_dataset) for of_dataset in verdicts.values()
            for judge in of_dataset.judges
        ],
        recipes=recipes,
    )  # fmt: skip
    write_json(work.folder / REPORT, work.facts)


def _of_dataset(measurements: Sequence[Measurement], dataset: str) -> list[Measurement]:
    return [one for one in measurements if one.case.dataset == dataset]


def _judge_facts(judge: Judge, verdicts: Verdicts) -> dict[str, Any]:
    return {
        "name": judge.name,
        "dataset": judge.dataset,
        "champion": judge.is_champion,
        "tagger": judge.tagger,
        "classes": judge.classes,
        "record": str(judge.model.reference),
        "cross_fitted": verdicts.cross_fitted[judge.name],
    }


def sound_reports(store: ArtifactStore, spec: Spec) -> list[dict[str, Any]]:
    """The report among the inputs of a spec, as the page shows it; empty if there is none."""
    return [
        {
            "judges": judge_rows(report.facts),
            "absent": absent_judges(report.facts),
            "overview": overview_rows(report.facts),
            "recipes": [
                view | {"audit": f"melgraph audit {view['record']}"}
                for view in map(recipe_view, report.recipes)
            ],
            "audit": f"melgraph audit {report.reference}",
        }
        for report in GenerationReport.inputs_of(store, spec)
    ]


@stage_asset(GENERATION_REPORT)
def generation_report(
    context: AssetExecutionContext, home: HomeResource
) -> MaterializeResult[None]:
    """All generated sounds compared with controls, by networks that had no part in making them.

    Every figure is measured on the FLAC file. The correlations of chroma and of onsets say what
    remains of the source. Log-spectral distance, clipping, silence, loudness and octave bands say
    what changed. Probes on frozen Musicnn and mn04, and the champion, say whether a sound moved
    towards its target, unless the sound was made with the same network; so does the distance to
    real recordings of the target (KAD, FAD). The controls of each recipe are the identity edit,
    the inversion alone, mp3 at 64 kbit/s, random phase, and noise that is as far from the source as
    the sound.
    """
    return materialize(context, home, GENERATION_REPORT)


def show(artifact: Artifact) -> Metadata:
    """The verdict on each recipe, and its table."""
    facts = artifact.facts
    metadata: Metadata = {"judges": markdown_table(judge_rows(facts))}
    if sentences := absent_judges(facts):
        metadata["absent judges"] = " ".join(sentences)
    for recipe in facts["recipes"]:
        metadata[f"{recipe['recipe']}: verdict"] = recipe["verdict"]
        metadata[f"{recipe['recipe']}: figures"] = markdown_table(table_rows(recipe))
    return metadata
