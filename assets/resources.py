"""The Dagster resource that opens the home. The logic is in `storage/`."""

from __future__ import annotations

from pathlib import Path

from dagster import ConfigurableResource
from pydantic import Field

from melgraph.assets.context import Context
from melgraph.assets.settings import current_home
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.home import Home, open_home


class HomeResource(ConfigurableResource):
    """The home that the assets read from and write into."""

    root: str = Field(
        default="",
        description="The folder of an existing home. If it is empty, melgraph uses the home that "
        "MELGRAPH_LIBRARY and MELGRAPH_HOME name, and creates it if it does not exist.",
    )

    def open(self) -> Home:
        """The home. It is created on disk if it does not exist."""
        return open_home(Path(self.root)) if self.root else current_home().create()

    def context(self) -> Context:
        """The artifacts, the catalogue and the present specs of the home."""
        return Context.open(self.open())

    def store(self) -> ArtifactStore:
        """The artifacts of the home."""
        return ArtifactStore(self.open())
