"""The context of one home: the state that decides what an artifact is made from.

A context is opened from a home and passed to the functions that need it. Importing a module reads
nothing from any home. One process can therefore serve several homes, and a worker on another
machine needs only the address of the home.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from melgraph.ml.specs import Specs, load_specs
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.home import Home

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Context:
    """The artifacts, the catalogue and the specs of one home.

    Attributes:
        store: the artifacts.
        specs: the shipped TOML files and those of the home, as read when the context was opened.
    """

    store: ArtifactStore
    specs: Specs

    @classmethod
    def open(cls, home: Home, specs: Specs | None = None) -> "Context":
        """Open the context of a home.

        Args:
            home: the home.
            specs: the specifications to use; None to read the TOML files as they are now.

        Raises:
            UserError: a TOML file cannot be used.
        """
        return cls(ArtifactStore(home), specs or load_specs(home.specs))

    @property
    def home(self) -> Home:
        """The home of the artifacts."""
        return self.store.home

    @cached_property
    def catalogue(self) -> Catalogue:
        """The catalogue of the library's files."""
        return Catalogue(self.home.catalogue)

    @cached_property
    def representations(self) -> "Mapping[str, Any]":
        """The settings of each representation, from `specs/representations.toml`.

        Raises:
            UserError: the file cannot be used.
        """
        from melgraph.ml.representations.registry import load_representations

        return load_representations(self.home.specs / "representations.toml")
