"""The plan of `melgraph run`: which job to run for which partition, and what to leave out.

A step is planned after the steps before it have run, from the artifacts that exist then. A step is
not run if its artifacts are current, or if an input is missing; it then says why.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from melgraph.assets.context import Context
from melgraph.assets.embeddings.cost import cost_sentence
from melgraph.assets.embeddings.encoder import Encoder
from melgraph.assets.embeddings.encoders import encoder_representations, in_service
from melgraph.assets.materialize import all_current
from melgraph.assets.models.studies.reports import arm_trials, representations_of
from melgraph.assets.recommendations.recommendations import plan_recommendations
from melgraph.assets.stage import (
    DATASET,
    ENCODER,
    EXPERIMENT,
    GENERATIVE_MODEL,
    ONE,
    RECIPE,
    STUDY,
    TRACK_BATCH,
    Stage,
)
from melgraph.assets.stages import (
    CLUSTER_REPORTS,
    DATASETS,
    DUPLICATES,
    EMBEDDINGS,
    GENERATORS,
    LEADERBOARD,
    MEL_SPECTROGRAMS,
    ON_DEMAND,
    RECOMMENDATIONS,
    STAGES,
    TRACKS,
    stages_of,
)
from melgraph.ml.errors import UserError
from melgraph.ml.specs.encoder import FUSION
from melgraph.storage.errors import StorageError
from melgraph.storage.records import partition_name


@dataclass(frozen=True)
class Step:
    """One run of a job for one partition, or the reason why the job is not run.

    Attributes:
        job: name of the job.
        partition: dimension -> key; empty for a job without partitions.
        why_not: why the job is not run; None if it is run.
        needless: whether it is not run because its artifacts exist already.
        assets: the assets of the job to materialize; empty for all of them.
        announcement: a message to print before the run, such as its cost; None for no message.
        config: op -> its Dagster config, for ops with settings other than the default ones.
    """

    job: str
    partition: dict[str, str]
    why_not: str | None = None
    needless: bool = False
    assets: tuple[str, ...] = ()
    announcement: str | None = None
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


# Recommendations that are not made from the lists before them.
REFRESH = {RECOMMENDATIONS.name: {"refresh": True}}

Part = tuple[str, Callable[[], Iterator[Step]]]
"""The title of a part of a run, and its plan."""


@dataclass
class Planner:
    """Plans the parts of a run.

    Attributes:
        context: the context of the home.
        experiments: names of the experiments and generative models to train; recipes of others are
            left out.
        refresh: whether to make new snapshots of datasets, and new results from them.
        representations: names of representations to compute in addition to the default ones and
            to those that experiments, encoders and studies read.
        studies: names of the studies to answer.
    """

    context: Context
    experiments: Sequence[str]
    refresh: bool = False
    representations: Sequence[str] = ()
    studies: Sequence[str] = ()

    def parts(self) -> list[Part]:
        """Title and plan of each part, in order. Call a plan after the part before it has run."""
        specs = self.context.specs
        has_fusions = any(specs.encoders[name].kind == FUSION for name in specs.in_service)
        fusions: list[Part] = [
            ("fused encoders", self.fused_encoders),
            ("embeddings by fused encoders", self.fused_embeddings),
        ]
        return [
            ("tracks, mel spectrograms, features and fingerprints", self.ingest),
            ("further representations", self.on_demand),
            ("duplicates", self.deduplication),
            ("datasets", self.datasets),
            ("exploration reports", self.exploration),
            ("training and evaluation", self.training),
            ("studies", self.studying),
            ("generative models", self.generative_training),
            ("encoders", self.encoders),
            ("embeddings", self.embeddings),
            *(fusions if has_fusions else ()),
            ("cluster reports", self.clustering),
            ("leaderboard", self.ranking),
            ("recommendations", self.recommending),
            ("recommendation report", self.measuring),
            ("generated sounds", self.generation),
            ("generation report", self.judging),
            ("pages", self.publishing),
        ]

    def ingest(self) -> Iterator[Step]:
        """Track batches without one of the four artifacts of an ingest.

        Raises:
            UserError: the home's `representations.toml` cannot be used.
        """
        _ = self.context.representations  # read it now, because an error in it concerns every batch
        for batch in self.context.catalogue.batches():
            yield self._step("ingest", {TRACK_BATCH: batch})

    def on_demand(self) -> Iterator[Step]:
        """Track batches without a representation that is read in this run or requested."""
        specs = self.context.specs
        needed: set[str] = set(self.representations)
        for name in self.experiments:
            needed |= set(specs.trainings[name].input.representations(specs.taggers))
        for name in self._encoders_to_serve():
            needed |= encoder_representations(specs, name)
        for name in self.studies:
            needed |= representations_of(specs, specs.studies[name])
        stages = [stage for stage in ON_DEMAND if stage.name in needed]
        for batch in self.context.store.partitions(TRACKS.name) if stages else ():
            step = self._step("representing", {TRACK_BATCH: batch}, stages)
            yield replace(step, assets=tuple(stage.name for stage in stages))

    def deduplication(self) -> Iterator[Step]:
        """The duplicates of the library, if there are new batches or newly missing files."""
        if DUPLICATES.plan(self.context, ONE).inputs:
            yield self._step("deduplication", {})

    def datasets(self) -> Iterator[Step]:
        """Datasets without a snapshot; with `refresh`, all whose tracks have changed."""
        for name in self._datasets_to_make():
            step = self._step("dataset", {DATASET: name})
            current = self.context.store.current(DATASETS.name, name)
            if current is not None and not self.refresh and step.why_not is None:
                date = current.record.finished_at[:16].replace("T", " ")
                reason = (
                    f"the library has changed since this snapshot of {date} UTC; --refresh makes a "
                    "new one"
                )
                step = replace(step, why_not=reason, needless=True)
            yield step

    def exploration(self) -> Iterator[Step]:
        """Datasets whose current snapshot has no exploration report."""
        for name in self._datasets_to_make():
            yield self._step("exploration", {DATASET: name})

    def training(self) -> Iterator[Step]:
        """Experiments without a model or an evaluation for the current snapshot."""
        for name in self.experiments:
            if name in self.context.specs.experiments:
                yield self._step("training", {EXPERIMENT: name})

    def generative_training(self) -> Iterator[Step]:
        """Generative models that are to be trained, or that lack an evaluation."""
        for name in self.experiments:
            if name in self.context.specs.generative_models:
                yield self._step("generative_training", {GENERATIVE_MODEL: name})

    def studying(self) -> Iterator[Step]:
        """The requested studies. Each study itself reuses the trials that exist."""
        for name in self.studies:
            yield Step("studying", {STUDY: name})

    def encoders(self) -> Iterator[Step]:
        """Encoders that are not in service yet, or whose model or dataset has a new version.

        Fused encoders come after the embeddings, because they are frozen to those of their parts.
        """
        for name in self._encoders_to_serve():
            if not self._is_fusion(name):
                yield self._step("encoding", {ENCODER: name})

    def embeddings(self) -> Iterator[Step]:
        """Track batches without embeddings by an encoder in service. The cost is announced once."""
        for name in in_service(self.context):
            if not self._is_fusion(name):
                yield from self._embeddings_by(name)

    def fused_encoders(self) -> Iterator[Step]:
        """Fusions that are not in service yet, or of which a part or its dataset has changed."""
        for name in self._encoders_to_serve():
            if self._is_fusion(name):
                yield self._step("encoding", {ENCODER: name})

    def fused_embeddings(self) -> Iterator[Step]:
        """Track batches without embeddings by a fusion in service."""
        for name in in_service(self.context):
            if self._is_fusion(name):
                yield from self._embeddings_by(name)

    def _embeddings_by(self, name: str) -> Iterator[Step]:
        cost: str | None = cost_sentence(Encoder.current(self.context.store, name))
        for batch in self.context.store.partitions(MEL_SPECTROGRAMS.name):
            step = self._step("embedding", {ENCODER: name, TRACK_BATCH: batch})
            if step.why_not is None:
                step, cost = replace(step, announcement=cost), None
            yield step

    def _is_fusion(self, name: str) -> bool:
        return self.context.specs.encoders[name].kind == FUSION

    def clustering(self) -> Iterator[Step]:
        """Encoders without a cluster report for their current version and dataset.

        A report that only lacks new track batches is made again with `refresh` only.
        """
        for name in in_service(self.context):
            report = self.context.store.current(CLUSTER_REPORTS.name, name)
            inputs = set(CLUSTER_REPORTS.plan(self.context, name).inputs)
            report_inputs = set(report.record.spec.inputs) if report else set()
            n_newer = sum(map(EMBEDDINGS.owns, inputs - report_inputs))
            if report and n_newer and report_inputs <= inputs and not self.refresh:
                reason = (
                    f"the report lacks {n_newer} newer track batch(es); --refresh makes a new one"
                )
                yield Step("clustering", {ENCODER: name}, reason, needless=True)
            else:
                yield self._step("clustering", {ENCODER: name})

    def ranking(self) -> Iterator[Step]:
        """The leaderboard, if evaluations or looks at test splits are missing in it."""
        if LEADERBOARD.plan(self.context, ONE).inputs:
            yield self._step("ranking", {})

    def recommending(self) -> Iterator[Step]:
        """Encoders whose index lacks new embeddings, or recommends tracks that are gone.

        With `refresh`, all lists and their scales are built anew.
        """
        for name in in_service(self.context):
            step = self._step("recommending", {ENCODER: name})
            if self.refresh and (step.needless or step.why_not is None):
                anew = (
                    plan_recommendations(self.context, name, refresh=True)
                    if step.needless
                    else None
                )
                if anew is None or not all_current(self.context.store, [anew]):
                    step = Step("recommending", {ENCODER: name}, config=REFRESH)
            yield step

    def measuring(self) -> Iterator[Step]:
        """The report on the recommendations, if there are any, and some are new."""
        if self.context.store.partitions(RECOMMENDATIONS.name):
            yield self._step("measuring", {})

    def generation(self) -> Iterator[Step]:
        """Recipes by default whose network has a new version, or that have no sounds yet."""
        for stage in STAGES.values():
            for name, recipe in self.context.specs.recipes.items():
                if stage.job is None or stage.method != recipe.method or not recipe.by_default:
                    continue
                if recipe.trains in (None, *self.experiments):
                    yield self._step(stage.job, {RECIPE: name})

    def judging(self) -> Iterator[Step]:
        """The report on the generated sounds, if there are any, and sounds or judges are new."""
        if any(self.context.store.partitions(stage.name) for stage in GENERATORS):
            yield self._step("judging", {})

    def recipe(self, name: str) -> Iterator[Step]:
        """The sounds of one recipe, also if no run makes them by default.

        Args:
            name: of the recipe.
        """
        method = self.context.specs.recipes[name].method
        for stage in STAGES.values():
            if stage.job is not None and stage.method == method:
                yield self._step(stage.job, {RECIPE: name})

    def publishing(self) -> Iterator[Step]:
        """The pages, if anything that they show is new."""
        yield self._step("publishing", {})

    def _datasets_to_make(self) -> list[str]:
        """Datasets of the experiments, of the studies and of the encoders in service."""
        specs = self.context.specs
        names = {specs.trainings[name].dataset for name in self.experiments}
        for name in self.studies:
            names |= {dataset for _, dataset in arm_trials(specs, specs.studies[name]).values()}
        return sorted(names | {specs.encoders[name].dataset for name in specs.in_service})

    def _encoders_to_serve(self) -> list[str]:
        """Encoders in service, except for those of experiments that are not part of this run.

        A fusion with such a part is an exception too.
        """
        specs = self.context.specs

        def is_served(name: str) -> bool:
            encoder = specs.encoders[name]
            return encoder.experiment in (None, *self.experiments) and all(
                map(is_served, encoder.parts)
            )

        return [name for name in specs.in_service if is_served(name)]

    def _step(
        self, job: str, partition: dict[str, str], stages: Sequence[Stage] | None = None
    ) -> Step:
        """A run of the job, unless all of its planned artifacts are current.

        The stages are planned in order, because later ones may need the artifacts of earlier ones.
        If a stage cannot be planned, for example without labels or a model, the step says why.
        """
        name = partition_name(partition) if partition else ONE
        try:
            for stage in stages or stages_of(job):
                if not all_current(self.context.store, [stage.plan(self.context, name)]):
                    return Step(job, partition)
        except (UserError, StorageError) as error:
            return Step(job, partition, error.what)
        return Step(job, partition, "already there", needless=True)
