"""`pages`: the results as pages with players, that work from disk and over http."""

from dagster import AllPartitionMapping, AssetDep, AssetExecutionContext, MaterializeResult, asset

from melgraph.assets.library.live import library_state, state_of
from melgraph.assets.materialize import (
    Metadata,
    materialize,
    page_link,
    plain_failures,
    shown_references,
)
from melgraph.assets.pages.results import SHOWN
from melgraph.assets.pages.site import look, write_pages
from melgraph.assets.resources import HomeResource
from melgraph.assets.settings import is_sample_library
from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.records import Spec

STAGE = 3
PAGES, EVERYTHING = "pages", "all"


def pages_spec(store: ArtifactStore) -> Spec:
    """The pages about everything that is current now; what does not exist is left out."""
    home = store.home
    inputs = [reference for name in SHOWN for reference in shown_references(store, name)]
    library = home.open_library()
    known = home.catalogue.is_file()
    config = {
        "library": library.name,
        "sample": is_sample_library(library),
        **(library_state(Catalogue(home.catalogue)) if known else state_of({})),
        "look": look(),
    }
    return Spec(PAGES, EVERYTHING, STAGE, tuple(inputs), config)


@asset(
    deps=[AssetDep(name, partition_mapping=AllPartitionMapping()) for name in SHOWN],
    group_name="pages",
    code_version=str(STAGE),
    pool="pages",  # by hand or by sensor: the second waits, and finds them there
)
def pages(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult:
    """Pages with players: library, exploration, models, cluster maps, recommendations, dreams.

    Plain files with relative links to the other artifacts and to the recordings; nothing is
    copied, nothing is fetched from elsewhere. `melgraph ui` serves them; a browser also opens them
    from disk.
    """
    with plain_failures():
        store = home.store()
        spec = pages_spec(store)
    return materialize(context, store, spec, write_pages, _show)


def _show(artifact: Artifact) -> Metadata:
    facts = artifact.facts
    shown: Metadata = {"open": page_link("index.html")}
    shown |= {name: facts[name] for name in ("tracks", "hours", "quarantined")}
    if facts["absent"]:
        shown["not made"] = "\n".join(facts["absent"].values())
    return shown
