"""The Dagster definitions of a home: assets with partitions, jobs, sensors and resources."""

from dagster import Definitions

from melgraph.assets import stages
from melgraph.assets.dataset.datasets import no_leakage
from melgraph.assets.embeddings.embeddings import serving_coverage
from melgraph.assets.library.representations import quarantine_rate
from melgraph.assets.models.tracking.tracker import Tracker
from melgraph.assets.partitions import Partitions
from melgraph.assets.resources import HomeResource
from melgraph.assets.staleness import up_to_date
from melgraph.ml.specs import Specs
from melgraph.pipelines import sensors
from melgraph.pipelines.jobs import CHECKING, JOBS
from melgraph.pipelines.runs.executor import executor_of_environment


def build_definitions(specs: Specs, home: HomeResource | None = None) -> Definitions:
    """The definitions that Dagster loads for one home.

    Args:
        specs: the specifications of the home, which name the partitions.
        home: the home. If None, each run takes the home that its environment names.

    Raises:
        UserError: the environment names an executor that does not exist.
    """
    partitions, home = Partitions(specs), home or HomeResource()
    assets = {stage.asset() for stage in stages.assets()}
    return Definitions(
        assets=[partitions.bind(asset) for asset in sorted(assets, key=lambda a: a.node_def.name)],
        asset_checks=[quarantine_rate, no_leakage, serving_coverage, up_to_date],
        jobs=[*JOBS.values(), CHECKING],
        sensors=sensors.ALL,
        resources={"home": home, "tracking": Tracker()},
        executor=executor_of_environment(home),
    )
