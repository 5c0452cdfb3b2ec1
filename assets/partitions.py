"""The partitions of a home, and how the partitions of one asset depend on those of another.

Track batches and studies are dynamic partitions of the Dagster instance. All others are named
after the TOML files of one home. They are bound to the assets when the Dagster definitions of that
home are built (`bind`), not when a module is imported.
"""

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dagster import (
    AllPartitionMapping,
    AssetDep,
    AssetExecutionContext,
    AssetsDefinition,
    AssetSpec,
    DynamicPartitionsDefinition,
    MultiPartitionKey,
    MultiPartitionsDefinition,
    MultiToSingleDimensionPartitionMapping,
    PartitionMapping,
    PartitionsDefinition,
    StaticPartitionMapping,
    StaticPartitionsDefinition,
)

from melgraph.assets.stage import ONE, RECIPE, STUDY, TRACK_BATCH, Stage
from melgraph.assets.stages import STAGES
from melgraph.ml.specs import Specs
from melgraph.storage.records import partition_name

track_batches = DynamicPartitionsDefinition(name=TRACK_BATCH)
study_names = DynamicPartitionsDefinition(name=STUDY)  # only those the user added: each takes long


@dataclass(frozen=True)
class Partitions:
    """The partitions of the assets of one home.

    Attributes:
        specs: the specifications of the home.
    """

    specs: Specs

    def bind(self, asset: AssetsDefinition) -> AssetsDefinition:
        """The asset with the partitions of this home and their dependencies."""
        return asset.map_asset_specs(self._bind)

    def _bind(self, spec: AssetSpec) -> AssetSpec:
        stage = STAGES[spec.key.to_user_string()]
        deps = [
            AssetDep(name, partition_mapping=self._mapping(stage, STAGES[name]))
            for name in stage.reads
        ]
        return spec.replace_attributes(partitions_def=self._definition(stage), deps=deps)

    def _definition(self, stage: Stage) -> PartitionsDefinition | None:
        definitions = {name: self._of_dimension(name, stage) for name in stage.partitioned_by}
        if len(definitions) > 1:
            return MultiPartitionsDefinition(definitions)
        return next(iter(definitions.values()), None)

    def _of_dimension(self, dimension: str, stage: Stage) -> PartitionsDefinition:
        dynamic = {TRACK_BATCH: track_batches, STUDY: study_names}
        if dimension in dynamic:
            return dynamic[dimension]
        return StaticPartitionsDefinition(self._named(dimension, stage))

    def _named(self, dimension: str, stage: Stage) -> list[str]:
        """The keys of a dimension that is named after TOML files."""
        specs = self.specs
        match dimension:  # encoders that are not in service are none: they cost nothing
            case "dataset":
                return sorted(specs.datasets)
            case "experiment":
                return sorted(specs.experiments)
            case "generative_model":
                return sorted(specs.generative_models)
            case "encoder":
                return specs.in_service
            case "recipe":
                return sorted(n for n, r in specs.recipes.items() if r.method == stage.method)
        raise ValueError(f"no TOML files name the partitions of {dimension!r}")

    def _mapping(self, stage: Stage, read: Stage) -> PartitionMapping | None:
        """How partitions depend on those of the stage `read`; None for the default of Dagster."""
        upstream, downstream = read.partitioned_by, stage.partitioned_by
        if not upstream or upstream == downstream:
            return None
        if len(upstream) > len(downstream) > 0:
            return _one_dimension(downstream[0])
        if len(downstream) > len(upstream):
            return _one_dimension(upstream[0])
        keys = self._dependents(upstream[0], stage) if downstream else None
        return AllPartitionMapping() if keys is None else StaticPartitionMapping(keys)

    def _dependents(self, upstream: str, stage: Stage) -> Mapping[str, set[str]] | None:
        """Key of `upstream` -> the partitions of a stage whose TOML file names it.

        None if every key of `downstream` depends on every key of `upstream`. A recipe depends on
        its dataset, or on that of its experiment or generative model.
        """
        specs, (downstream,) = self.specs, stage.partitioned_by
        names: dict[str, str | None]
        match upstream, downstream:
            case "dataset", "experiment":
                names = {n: e.dataset for n, e in specs.experiments.items()}
            case "dataset" | "experiment", "encoder":
                serving = {n: specs.encoders[n] for n in specs.in_service}
                names = {n: getattr(e, upstream) for n, e in serving.items()}
            case "dataset", "generative_model":
                names = {n: m.dataset for n, m in specs.generative_models.items()}
            case "dataset", "recipe":
                recipes = {n: specs.recipes[n] for n in self._named(RECIPE, stage)}
                trained = {n: specs.trainings[r.trains].dataset for n, r in recipes.items()
                           if r.trains}  # fmt: skip
                names = {n: r.dataset or trained.get(n) for n, r in recipes.items()}
            case "experiment" | "generative_model", "recipe":
                recipes = {n: specs.recipes[n] for n in self._named(RECIPE, stage)}
                names = {n: getattr(r, upstream) for n, r in recipes.items()}
            case _:
                return None
        keys: Iterable[str] = getattr(specs, f"{upstream}s")
        return {key: {n for n, other in names.items() if other == key} for key in keys}


def _one_dimension(name: str) -> PartitionMapping:
    with warnings.catch_warnings():
        # The class has been "in beta" since 2023. The tests cover both directions, and the user
        # can do nothing about the warning.
        warnings.filterwarnings("ignore", message=".*MultiToSingleDimensionPartitionMapping.*")
        return MultiToSingleDimensionPartitionMapping(name)


def partition_of(context: AssetExecutionContext) -> str:
    """The partition of a run, in the form that artifacts use."""
    if not context.has_partition_key:
        return ONE
    key = context.partition_key
    return partition_name(key.keys_by_dimension if isinstance(key, MultiPartitionKey) else key)
