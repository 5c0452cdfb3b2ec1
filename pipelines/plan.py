"""The plan of a run: stage by stage, which job for which partition, and what needs none.

A stage is planned when the stages before it have run, from the artifacts that are there. What has
its artifact is not run again; what cannot be made says why.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from melgraph.assets.dataset import datasets
from melgraph.assets.dataset.exploration.reports import exploration_spec
from melgraph.assets.embeddings import embeddings, encoders, tags
from melgraph.assets.embeddings.clusters import reports as cluster_reports
from melgraph.assets.embeddings.cost import told_cost
from melgraph.assets.generation import dreams
from melgraph.assets.library import duplicates, fingerprints, ingest
from melgraph.assets.materialize import current_references
from melgraph.assets.models import trained_models
from melgraph.assets.models.evaluations import evaluation_spec
from melgraph.assets.models.leaderboard import leaderboard_spec
from melgraph.assets.models.studies.reports import arm_trials, representations_of
from melgraph.assets.pages.asset import pages_spec
from melgraph.assets.partitions import SPECS, STUDY, TRACK_BATCH
from melgraph.assets.recommendations import recommendations
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.errors import StorageError
from melgraph.storage.records import Spec


@dataclass(frozen=True)
class Step:
    """One run of a job for one partition; or the reason why there is none.

    Attributes:
        job: name of the job.
        partition: its key, by dimension where it has several; empty for none.
        why_not: why it is not run; None where it is.
        needless: the artifact is there already, which is good, not a gap.
        assets: those of the job's that are to be made; empty for all.
        told: what is said before it is run, such as what it will cost; None for nothing.
    """

    job: str
    partition: dict[str, str]
    why_not: str | None = None
    needless: bool = False
    assets: tuple[str, ...] = ()
    told: str | None = None


@dataclass
class Planner:
    """Plans each stage.

    Attributes:
        store: the artifacts.
        catalogue: the batches.
        experiments: the experiments to train, and to dream with.
        refresh: make datasets, and all that names them, anew from the library as it is now.
        representations: those to make that are made on demand; what experiments and studies read
            is made without asking.
        studies: those to answer.
    """

    store: ArtifactStore
    catalogue: Catalogue
    experiments: Sequence[str]
    refresh: bool = False
    representations: Sequence[str] = ()
    studies: Sequence[str] = ()

    def stages(self) -> list[tuple[str, Callable[[], Iterator[Step]]]]:
        """Titles and plans, in order. Call each when the one before has run."""
        return [
            ("tracks, spectrograms, features, fingerprints", self.ingest),
            ("representations on demand", self.on_demand),
            ("duplicates", self.deduplication),
            ("dataset", self.datasets),
            ("exploration", self.exploration),
            ("training and evaluation", self.training),
            ("studies", self.studying),
            ("encoders", self.encoders),
            ("embeddings", self.embeddings),
            ("clusters", self.clustering),
            ("leaderboard", self.ranking),
            ("recommendations", self.recommending),
            ("dreams", self.dreaming),
            ("pages", self.publishing),
        ]

    def ingest(self) -> Iterator[Step]:
        """Every batch that lacks one of its four artifacts."""
        representations = ingest.representation_maker(self.store)
        for batch in self.catalogue.batches():
            tracks = ingest.tracks_spec(batch, self.catalogue.batch_files(batch))
            mel, features = representations(tracks.reference)
            specs = [tracks, mel, features, fingerprints.fingerprint_spec(mel.reference)]
            yield self._step("ingest", {TRACK_BATCH: batch}, specs)

    def on_demand(self) -> Iterator[Step]:
        """The representations that were asked for, of every batch that lacks one."""
        read: set[str] = {SPECS.experiments[name].input.representation for name in self.experiments}
        read |= {encoders.representation_of(name) for name in self._wanted_encoders()}
        for name in self.studies:
            read |= representations_of(SPECS.studies[name])
        asked = tuple(r for r in ingest.ON_DEMAND if r in read | set(self.representations))
        representations = ingest.representation_maker(self.store, asked)
        for tracks in current_references(self.store, ingest.TRACKS) if asked else ():
            specs = representations(tracks)
            step = self._step("representing", {TRACK_BATCH: tracks.partition}, specs)
            yield replace(step, assets=asked)

    def deduplication(self) -> Iterator[Step]:
        """The duplicates of the library, where batches or missing files are new."""
        spec = duplicates.duplicates_spec(self.store, self.catalogue)
        if spec.inputs:
            yield self._step("deduplication", {}, [spec])

    def datasets(self) -> Iterator[Step]:
        """Snapshots are kept until a refresh is asked for."""
        for name in self._wanted_datasets():
            yield self._kept("dataset", "dataset", datasets.DATASETS, name, self._dataset_specs)

    def _wanted_datasets(self) -> list[str]:
        wanted = {SPECS.experiments[name].dataset for name in self.experiments}
        for name in self.studies:
            wanted |= {dataset for _, dataset in arm_trials(SPECS.studies[name]).values()}
        return sorted(wanted | {SPECS.encoders[name].dataset for name in SPECS.in_service})

    def _dataset_specs(self, name: str) -> list[Spec]:
        return [datasets.dataset_spec(self.store, self.catalogue, name)]

    def exploration(self) -> Iterator[Step]:
        """Datasets whose snapshot has no report; batches that are newer than it change nothing."""
        for name in self._wanted_datasets():
            yield self._try("exploration", {"dataset": name}, self._exploration_specs, name)

    def _exploration_specs(self, name: str) -> list[Spec]:
        return [exploration_spec(self.store, name)]

    def training(self) -> Iterator[Step]:
        """Experiments whose model, or its evaluation, is not there for the current snapshot."""
        for name in self.experiments:
            yield self._try("training", {"experiment": name}, self._training_specs, name)

    def _training_specs(self, name: str) -> list[Spec]:
        spec = trained_models.training_spec(self.store, name)
        if not self._is_current(spec):
            return [spec]
        return [spec, evaluation_spec(self.store, name)]

    def studying(self) -> Iterator[Step]:
        """The studies that were asked for: each finds by itself which of its trials are there."""
        for name in self.studies:
            yield Step("studying", {STUDY: name})

    def encoders(self) -> Iterator[Step]:
        """Encoders whose model or dataset has a new version, or that are not in service yet."""
        for name in self._wanted_encoders():
            yield self._try("encoding", {"encoder": name}, self._encoder_specs, name)

    def _wanted_encoders(self) -> list[str]:
        """Those in service, but for those of experiments that are not asked for."""
        of = {name: SPECS.encoders[name].experiment for name in SPECS.in_service}
        return [name for name, experiment in of.items() if experiment in (None, *self.experiments)]

    def _encoder_specs(self, name: str) -> list[Spec]:
        return [encoders.encoder_spec(self.store, name)]

    def embeddings(self) -> Iterator[Step]:
        """Every batch and encoder in service without vectors."""
        for encoder in encoders.in_service(self.store):
            told: str | None = told_cost(self.store, self.store.need(encoders.ENCODERS, encoder))
            for batch in self.store.partitions(ingest.MEL):
                key = {"encoder": encoder, TRACK_BATCH: batch}
                step = self._try("embedding", key, self._embedding_specs, encoder, batch)
                yield replace(step, told=told if step.why_not is None else None)
                told = told if step.why_not is not None else None  # once an encoder

    def _embedding_specs(self, encoder: str, batch: str) -> list[Spec]:
        spec = embeddings.embedding_spec(self.store, encoder, batch)
        return (
            [spec, tags.tags_spec(self.store, encoder, batch)] if self._is_current(spec) else [spec]
        )

    def clustering(self) -> Iterator[Step]:
        """Reports are kept until the encoder or the dataset changes, or a refresh is asked for."""
        for name in encoders.in_service(self.store):
            report = self.store.current(cluster_reports.CLUSTER_REPORTS, name)
            spec = cluster_reports.cluster_spec(self.store, name)
            made_from = set(report.record.spec.inputs) if report else set()
            new = sum(r.asset == embeddings.EMBEDDINGS for r in set(spec.inputs) - made_from)
            gone = len(made_from - set(spec.inputs))
            if report and new and not gone and not self.refresh:
                why = f"kept; {new} newer batch(es) are not on it; --refresh makes it anew"
                yield Step("clustering", {"encoder": name}, why, needless=True)
            else:
                yield self._step("clustering", {"encoder": name}, [spec])

    def ranking(self) -> Iterator[Step]:
        """The leaderboard, where there are evaluations, or looks at test splits, that it lacks."""
        spec = leaderboard_spec(self.store)
        if spec.inputs:
            yield self._step("ranking", {}, [spec])

    def recommending(self) -> Iterator[Step]:
        """Encoders whose index lacks a segment, or whose library has lost tracks."""
        for name in encoders.in_service(self.store):
            segments = recommendations.segment_specs(self.store, name)
            index = recommendations.index_spec(name, segments)
            specs = [index]
            if self._is_current(index):
                specs.append(recommendations.recommendation_spec(self.store, self.catalogue, name))
            yield self._step("recommending", {"encoder": name}, specs)

    def dreaming(self) -> Iterator[Step]:
        """Recipes whose network has a new version, or that were never played."""
        for name, recipe in SPECS.recipes.items():
            if recipe.experiment in self.experiments:
                yield self._try("dreaming", {"recipe": name}, self._dream_specs, name)

    def _dream_specs(self, name: str) -> list[Spec]:
        return [dreams.dream_spec(self.store, name)]

    def publishing(self) -> Iterator[Step]:
        """The pages, where anything they show is new."""
        yield self._step("publishing", {}, [pages_spec(self.store)])

    def _step(self, job: str, partition: dict[str, str], specs: list[Spec]) -> Step:
        if all(map(self._is_current, specs)):
            return Step(job, partition, "already there", needless=True)
        return Step(job, partition)

    def _is_current(self, spec: Spec) -> bool:
        """Whether readers get it: a writer killed before that leaves it committed, and not yet."""
        return self.store.current_reference(spec.asset, spec.partition) == spec.reference

    def _try(
        self, job: str, partition: dict[str, str], specs: Callable[..., list[Spec]], *names: str
    ) -> Step:
        """A step that cannot be taken, for want of labels or of a model, is skipped with why."""
        try:
            return self._step(job, partition, specs(*names))
        except (UserError, StorageError) as error:
            return Step(job, partition, error.what)

    def _kept(
        self, job: str, dimension: str, asset: str, name: str, specs: Callable[[str], list[Spec]]
    ) -> Step:
        """A step for something kept as it was first made until a refresh is asked for."""
        current = self.store.current(asset, name)
        step = self._try(job, {dimension: name}, specs, name)
        if current is None or self.refresh or step.why_not is not None:
            return step
        made = current.record.finished_at[:16].replace("T", " ")
        why = f"kept as of {made} UTC; the library has changed since; --refresh makes it anew"
        return Step(job, {dimension: name}, why, needless=True)
