"""Resources: the home with its stores, and MLflow. Thin; the logic is in `storage/`."""

from __future__ import annotations

from dagster import ConfigurableResource

from melgraph.assets.settings import current_home
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.home import Home


class HomeResource(ConfigurableResource):
    """The home of the library in hand, as `MELGRAPH_LIBRARY` and `MELGRAPH_HOME` name it."""

    def open(self) -> Home:
        """The home, made on disk where it is not there yet."""
        return current_home().create()

    def store(self) -> ArtifactStore:
        """Its artifacts."""
        return ArtifactStore(self.open())

    def catalogue(self) -> Catalogue:
        """Its catalogue."""
        return Catalogue(self.open().catalogue)
