"""The class `Stage`: an asset, with everything that other parts of melgraph need to know of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.records import Reference, Spec

if TYPE_CHECKING:
    from dagster import AssetsDefinition

    from melgraph.assets.context import Context

TRACK_BATCH, DATASET, EXPERIMENT = "track_batch", "dataset", "experiment"
ENCODER, RECIPE, STUDY = "encoder", "recipe", "study"
GENERATIVE_MODEL = "generative_model"
ONE = "all"  # the name of the only partition of an unpartitioned asset

Write = Callable[[ArtifactStore, Work], None]
Metadata = dict[str, Any]

# Dagster tags that ask a cluster for a GPU. A run launcher, which starts a process for each run,
# reads the tags of the run, and so of its job. An executor that starts a process for each step
# reads those of the op.
GPU_TAGS: dict[str, Any] = {
    "dagster-k8s/config": {"container_config": {"resources": {"limits": {"nvidia.com/gpu": "1"}}}},
    "dagster-ray/config": {"num_gpus": 1},
}


@dataclass(frozen=True)
class Stage:
    """One asset, or one kind of artifact that is made while another asset is materialized.

    Attributes:
        name: the name of the asset.
        number: the stage integer. Raise it by hand when the code computes something else; earlier
            artifacts then become stale. Dagster shows it as the `code_version`.
        module: the module below `melgraph.assets`. Its first part is the wing, which is also the
            Dagster group.
        makes: the noun for one artifact, for example `trained_model`. Two functions of the module
            are named after it. `plan_trained_model(context, partition)` returns the spec before
            any work is done. `write_trained_model(store, work)` writes files, facts and recordings.
        is_planned: whether the module has the plan function. If not, only the asset itself can
            determine the spec.
        has_show: whether the module has a function `show(artifact)`, which returns the metadata for
            the Dagster UI. If not, the UI shows the facts of the artifact.
        definition: the name of the asset function in the module, if it differs from `name`.
        files: the files that an artifact may hold, as `fnmatch` patterns.
        partitioned_by: the dimensions of the partition key; empty for an unpartitioned asset.
        method: the generation method whose recipes are the partitions; None for other assets.
        composes: whether a generator composes new sounds instead of editing recordings. The marks
            of its sounds say so.
        reads: the stages that Dagster draws upstream of this one: those that the shipped
            specifications in use by default lead to. Dagster calls an artifact stale if any of them
            changes, so a stage that only other specifications read must not be here. The record of
            an artifact names its exact inputs.
        job: the job that materializes it; None if it is made while another asset is materialized,
            or by `melgraph generate`.
        kinds: the kinds that Dagster's asset graph displays.
        gpu: whether the stage uses a GPU if the machine has one. Its op and its job then carry tags
            that ask a cluster for one.
        pool: the Dagster pool that limits how many runs of it work at once; None for no limit.
        on_pages: whether the pages show its artifacts.
        oldest_readable: the smallest stage integer whose artifacts can still be shown. Older
            artifacts hold other facts, so they are omitted until they are materialized again.
    """

    name: str
    number: int
    module: str
    makes: str
    is_planned: bool = True
    has_show: bool = True
    definition: str | None = None
    files: tuple[str, ...] = ()
    partitioned_by: tuple[str, ...] = ()
    method: str | None = None
    composes: bool = False
    reads: tuple[str, ...] = ()
    job: str | None = None
    kinds: tuple[str, ...] = ()
    gpu: bool = False
    pool: str | None = None
    on_pages: bool = False
    oldest_readable: int = 1

    @property
    def wing(self) -> str:
        """The folder below `assets/`. It is also the Dagster group."""
        return self.module.partition(".")[0]

    @cached_property
    def _functions(self) -> Any:
        return import_module(f"melgraph.assets.{self.module}")

    def plan(self, context: "Context", partition: str) -> Spec:
        """The spec of the artifact that the present state of the home leads to.

        Raises:
            UserError, StorageError: the artifact cannot be made; the message says why.
        """
        if not self.is_planned:
            raise ValueError(
                f"{self.name} has no plan function: its spec is determined in its asset"
            )
        spec: Spec = getattr(self._functions, f"plan_{self.makes}")(context, partition)
        return spec

    def write(self, store: ArtifactStore, work: Work) -> None:
        """Compute the artifact of `work.spec`, and write its files into `work.folder`."""
        getattr(self._functions, f"write_{self.makes}")(store, work)

    def show(self, artifact: Artifact) -> Metadata:
        """The metadata that the Dagster UI shows for an artifact."""
        if not self.has_show:
            return artifact.facts
        metadata: Metadata = self._functions.show(artifact)
        return metadata

    def attribute(self, name: str, default: Any) -> Any:
        """What the module of the stage defines under a name, if it does."""
        return getattr(self._functions, name, default)

    def asset(self) -> "AssetsDefinition":
        """The Dagster asset that the module defines."""
        definition: AssetsDefinition = getattr(self._functions, self.definition or self.name)
        return definition

    def options(self) -> dict[str, Any]:
        """The arguments of Dagster's `@asset`. `Partitions.bind` adds the partitions of a home."""
        options: dict[str, Any] = {
            "deps": list(self.reads),
            "group_name": self.wing,
            "code_version": str(self.number),
            "kinds": set(self.kinds),
        }
        if self.pool is not None:
            options["pool"] = self.pool
        if self.gpu:
            options["op_tags"] = GPU_TAGS
        return options

    def owns(self, reference: Reference) -> bool:
        """Whether a reference names an artifact of this stage."""
        return reference.asset == self.name

    def spec(
        self,
        partition: str,
        inputs: tuple[Reference, ...] = (),
        config: dict[str, Any] | None = None,
        seed: int | None = None,
    ) -> Spec:
        """A spec of this stage. It contains the stage integer."""
        return Spec(self.name, partition, self.number, inputs, config or {}, seed)


def representation_stage(
    name: str, number: int, job: str, *files: str, kind: str = "zarr"
) -> Stage:
    """An asset with a representation of the tracks of a batch."""
    return Stage(
        name,
        number,
        "library.representations",
        name,
        definition="ingest_batch",
        files=files or ("spectrograms.zarr/*",),
        partitioned_by=(TRACK_BATCH,),
        reads=("tracks",),
        job=job,
        kinds=(kind,),
    )


def generator_stage(
    name: str, number: int, method: str, reads: tuple[str, ...], job: str, *, module: str = "",
    kind: str = "pytorch", composes: bool = False,
) -> Stage:  # fmt: skip
    """An asset of sounds: its partitions are the recipes of a method."""
    return Stage(
        name,
        number,
        f"generation.{module}{name}",
        name,
        files=("*.flac", "*.png", "report.json"),
        partitioned_by=(RECIPE,),
        method=method,
        composes=composes,
        reads=reads,
        job=job,
        kinds=(kind,),
        gpu=kind == "pytorch",
        pool="gpu" if kind == "pytorch" else None,
        on_pages=True,
    )


def encoder_and_batch(partition: str) -> tuple[str, str]:
    """Split the name of a partition by encoder and track batch into its two keys."""
    encoder, _, batch = partition.partition("+")
    return encoder, batch
