"""The Dagster definitions of a home: assets with partitions, jobs, sensors and resources."""

from dagster import Definitions, in_process_executor

from melgraph.assets.dataset.datasets import no_leakage
from melgraph.assets.embeddings.embeddings import serving_coverage
from melgraph.assets.library.representations import quarantine_rate
from melgraph.assets.models.tracking.tracker import Tracker
from melgraph.assets.partitions import Partitions
from melgraph.assets.resources import HomeResource
from melgraph.assets.stages import STAGES
from melgraph.ml.specs import Specs
from melgraph.pipelines import sensors
from melgraph.pipelines.jobs import JOBS


def build_definitions(specs: Specs, home: HomeResource | None = None) -> Definitions:
    """The definitions that Dagster loads for one home.

    Args:
        specs: the specifications of the home, which name the partitions.
        home: the home. If None, each run takes the home that its environment names.
    """
    partitions = Partitions(specs)
    assets = {stage.asset() for stage in STAGES.values() if stage.job is not None}
    return Definitions(
        assets=[partitions.bind(asset) for asset in sorted(assets, key=lambda a: a.node_def.name)],
        asset_checks=[quarantine_rate, no_leakage, serving_coverage],
        jobs=list(JOBS.values()),
        sensors=sensors.ALL,
        resources={"home": home or HomeResource(), "tracking": Tracker()},
        # In one process, a run with small steps takes 0.2 s instead of 4 to 5 s. A cluster needs
        # another executor.
        executor=in_process_executor,
    )
