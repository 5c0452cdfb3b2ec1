"""The Dagster definitions of the home that the environment names."""

from melgraph.assets.settings import current_home
from melgraph.ml.memory import keep_freed_memory
from melgraph.ml.specs import load_specs
from melgraph.pipelines.deployment import build_definitions

keep_freed_memory()  # here, because every run worker imports this module

defs = build_definitions(load_specs(current_home().specs))
