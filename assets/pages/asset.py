"""`pages`: all results as HTML pages that a browser opens from disk or from a server."""

from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.context import Context
from melgraph.assets.library.live import library_state, state_of
from melgraph.assets.materialize import (
    materialize,
    readable_references,
    stage_asset,
)
from melgraph.assets.pages.site import look
from melgraph.assets.pages.site import write_pages as write_pages  # the stage names it
from melgraph.assets.resources import HomeResource
from melgraph.assets.settings import is_sample_library
from melgraph.assets.stage import ONE, Metadata
from melgraph.assets.stages import PAGES, SHOWN_STAGES
from melgraph.assets.ui import page_link
from melgraph.storage.artifacts import Artifact
from melgraph.storage.records import Spec


def plan_pages(context: Context, partition: str = ONE) -> Spec:
    """The pages about every current artifact. Missing kinds of results are left out."""
    home = context.home
    inputs = [
        reference
        for stage in SHOWN_STAGES.values()
        for reference in readable_references(context.store, stage)
    ]
    library = home.open_library()
    config = {
        "library": library.name,
        "sample": is_sample_library(library),
        **(library_state(context.catalogue) if home.catalogue.is_file() else state_of({})),
        "look": look(),
    }
    return PAGES.spec(partition, tuple(inputs), config)


@stage_asset(PAGES)
def pages(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult[None]:
    """HTML pages about all results, with audio players. Unpartitioned; start at `index.html`.

    The pages show tracks, exploration reports, the leaderboard, models, studies, cluster maps,
    recommendations and generated sounds. Pictures and audio files are linked with relative paths,
    not copied, and nothing is loaded from other hosts. `melgraph ui` serves the pages; a browser
    can also open them from disk.
    """
    return materialize(context, home, PAGES)


def show(artifact: Artifact) -> Metadata:
    """A link to the pages, counts, and which kinds of results do not exist yet."""
    facts = artifact.facts
    metadata: Metadata = {"open": page_link("index.html")}
    metadata |= {name: facts[name] for name in ("tracks", "hours", "quarantined")}
    if facts["absent"]:
        metadata["not available yet"] = "\n".join(facts["absent"].values())
    return metadata
