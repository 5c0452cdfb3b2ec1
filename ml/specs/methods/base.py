"""The keys that the recipes of all generation methods have, and those of methods with a guide."""

from typing import Self

from pydantic import Field, model_validator

from melgraph.ml.specs.base import TomlSpec, later_key
from melgraph.ml.specs.methods.post_processing import PostStep

NOT_IN_THE_VERSION = frozenset({"by_default"})
"""Keys that decide whether sounds are generated, not which."""
IN_THE_REQUEST = "named in the request"
"""Stands for the songs that a user names on the command line, while their sounds are planned."""


class Recipe(TomlSpec):
    """The keys that the recipes of all methods have: which tracks, which excerpt, which seed."""

    method: str
    experiment: str | None = Field(
        None, description="the trained experiment whose network is used; none for other networks"
    )
    tracks: int = Field(
        3, ge=1, le=100, description="how many held-out tracks, of different labels"
    )
    path: str | None = Field(None, description="one track by its path in the library instead")
    start_s: float = Field(0.0, ge=0, description="where the excerpt starts, seconds")
    excerpt_s: float = Field(10.0, gt=0, le=60, description="length of the excerpt, seconds")
    seed: int = Field(0, ge=0, description="seed of all random draws")
    by_default: bool = later_key(
        True,
        since="0.2",
        description="whether a run generates its sounds; `melgraph generate NAME` always does",
    )
    dataset: str | None = later_key(
        None,
        since="0.2",
        description="the dataset whose held-out tracks are used; absent: that of the experiment",
    )
    paths: tuple[str, ...] = later_key(
        (), since="0.2", description="several tracks by their paths in the library instead"
    )

    post: tuple[PostStep, ...] = later_key(
        (),
        since="0.2",
        description="post-processing of the sound, step by step; the sound without it is kept too",
    )

    @model_validator(mode="after")
    def _tracks_are_named_once(self) -> Self:
        if self.path is not None and self.paths:
            raise ValueError("path and paths: name the tracks in one of the two")
        if len(set(self.paths)) < len(self.paths):
            raise ValueError("paths must name each track once")
        return self

    @property
    def generative_model(self) -> str | None:
        """The generative model whose network is used; None for other networks."""
        return None

    @property
    def trains(self) -> str | None:
        """The experiment or generative model that must be trained first; None for no training."""
        return self.experiment or self.generative_model

    @property
    def named_paths(self) -> tuple[str, ...]:
        """The tracks that the recipe names; empty if it takes held-out tracks."""
        return self.paths if self.path is None else (self.path,)

    @property
    def needs_guide(self) -> bool:
        """Whether the method needs a guide song besides the source."""
        return False

    @property
    def takes_guide(self) -> bool:
        """Whether the method uses a guide song if there is one."""
        return False

    @property
    def names_all_songs(self) -> bool:
        """Whether a request names the source, and the guide if the method uses one."""
        return self.paths == (IN_THE_REQUEST,) and not self.takes_guide

    @property
    def has_guide(self) -> bool:
        """Whether the recipe says which songs are guides."""
        return False


class GuidedRecipe(Recipe):
    """The keys of a method that moves one song towards another, its guide."""

    guide: str | None = later_key(
        None, since="0.2", description="the guide song, by its path in the library"
    )
    guide_label: str | None = later_key(
        None,
        since="0.2",
        description="guide songs by their label, if `guide` names none: held-out tracks of it in "
        "turn; tracks with this label are then no sources",
    )
    guide_start_s: float = later_key(
        0.0, since="0.2", ge=0, description="where the excerpt of the guide starts, seconds"
    )

    @property
    def takes_guide(self) -> bool:
        """Whether the method uses a guide song if there is one."""
        return True

    @property
    def names_all_songs(self) -> bool:
        """Whether a request names the source, and the guide if the method uses one."""
        named_guide = self.guide == IN_THE_REQUEST or not self.takes_guide
        return self.paths == (IN_THE_REQUEST,) and named_guide

    @property
    def has_guide(self) -> bool:
        """Whether the recipe names a guide song, or the label of guide songs."""
        return self.guide is not None or self.guide_label is not None
