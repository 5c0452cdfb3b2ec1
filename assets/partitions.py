"""The partition definitions, and the specs the static ones are named after."""

import warnings

from dagster import (
    DynamicPartitionsDefinition,
    MultiPartitionsDefinition,
    MultiToSingleDimensionPartitionMapping,
    StaticPartitionMapping,
    StaticPartitionsDefinition,
)

from melgraph.assets.settings import current_home
from melgraph.ml.specs import load_specs

SPECS = load_specs(current_home().specs)

SERVING = {name: SPECS.encoders[name] for name in SPECS.in_service}

TRACK_BATCH = "track_batch"
track_batches = DynamicPartitionsDefinition(name=TRACK_BATCH)
dataset_names = StaticPartitionsDefinition(sorted(SPECS.datasets))
experiment_names = StaticPartitionsDefinition(sorted(SPECS.experiments))
encoder_names = StaticPartitionsDefinition(SPECS.in_service)  # all others cost nothing
STUDY = "study"
study_names = DynamicPartitionsDefinition(name=STUDY)  # those that were asked for: each costs much
recipe_names = StaticPartitionsDefinition(sorted(SPECS.recipes))
batches_by_encoder = MultiPartitionsDefinition(
    {"encoder": encoder_names, TRACK_BATCH: track_batches}
)

with warnings.catch_warnings():
    # "In beta" since 2023, and tried here in both directions; a warning would help no user.
    warnings.filterwarnings("ignore", message=".*MultiToSingleDimensionPartitionMapping.*")
    by_batch = MultiToSingleDimensionPartitionMapping(TRACK_BATCH)
    by_encoder = MultiToSingleDimensionPartitionMapping("encoder")

# Which dataset feeds which experiment, and so on: upstream key -> downstream keys.
dataset_to_experiments = StaticPartitionMapping(
    {d: {n for n, e in SPECS.experiments.items() if e.dataset == d} for d in SPECS.datasets}
)
dataset_to_encoders = StaticPartitionMapping(
    {d: {n for n, e in SERVING.items() if e.dataset == d} for d in SPECS.datasets}
)
experiment_to_encoders = StaticPartitionMapping(
    {x: {n for n, e in SERVING.items() if e.experiment == x} for x in SPECS.experiments}
)
experiment_to_recipes = StaticPartitionMapping(
    {x: {n for n, r in SPECS.recipes.items() if r.experiment == x} for x in SPECS.experiments}
)
dataset_to_recipes = StaticPartitionMapping(
    {
        d: {n for n, r in SPECS.recipes.items() if SPECS.experiments[r.experiment].dataset == d}
        for d in SPECS.datasets
    }
)
