"""The spec of a dataset: which collection, which labels, which split."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from melgraph.ml.specs.base import SPLITS, Spec

NEED_METADATA = ("fma", "mtg_jamendo", "table")
HAVE_OFFICIAL_SPLIT = ("gtzan", *NEED_METADATA)


class Options(BaseModel):
    """Options of one adaptor, a sub-table of its name. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TagOptions(Options):
    """How genre tags become labels."""

    separators: list[str] = Field(
        ["/", ";", ","], description="what stands between several genres of one tag"
    )
    genre_map: dict[str, str] = Field(
        default_factory=dict, description="genre as normalised -> label; an empty label drops it"
    )


class FmaOptions(Options):
    """Which part of FMA."""

    subset: Literal["small", "medium", "large", "full"] = Field(
        "small", description="tracks of this subset (full has the tracks of large, untrimmed)"
    )


class MtgJamendoOptions(Options):
    """Which part of MTG-Jamendo."""

    subset: Literal[
        "autotagging",
        "autotagging_genre",
        "autotagging_instrument",
        "autotagging_moodtheme",
        "autotagging_top50tags",
    ] = Field("autotagging_top50tags", description="which of its lists: <subset>-train.tsv, ...")


class TableOptions(Options):
    """How a user's own table is read."""

    separator: str = Field(
        ";", min_length=1, description="what stands between several labels of one CSV cell"
    )


class DatasetSpec(Spec):
    """A named snapshot of the library: which tracks, which labels, which split."""

    labels: Literal["folder", "tag", "none", "gtzan", "fma", "mtg_jamendo", "table"] = Field(
        "folder", description="where labels come from: the adaptor of ml.collections"
    )
    metadata: str | None = Field(
        None, description="folder (of a table: the file) with the collection's lists"
    )
    multi_label: bool = Field(False, description="several labels a track, or one")
    label_level: int | None = Field(
        None, ge=1, description="folder level of the label; the library's own setting when absent"
    )
    collection: str = Field("", description="only paths that start with this")
    min_tracks_per_class: int = Field(4, ge=1, description="smaller classes are left out")
    min_groups_per_class: int = Field(3, ge=1, description="artists (or lone tracks) a class needs")
    split: Literal["grouped", "leaky", "official"] = Field(
        "grouped",
        description="grouped: no artist or duplicate on two sides; leaky: at random; official: "
        "as the collection's lists say",
    )
    train: float = Field(0.6, gt=0, lt=1, description="share of each class")
    validation: float = Field(0.15, gt=0, lt=1, description="share of each class")
    test: float = Field(0.25, gt=0, lt=1, description="share of each class")
    seed: int = Field(0, ge=0, description="breaks ties between equal components")
    tag: TagOptions = TagOptions()
    fma: FmaOptions = FmaOptions()
    mtg_jamendo: MtgJamendoOptions = MtgJamendoOptions()
    table: TableOptions = TableOptions()


OPTIONS = tuple(
    name
    for name, field in DatasetSpec.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Options)
)
"""The sub-tables of a dataset's TOML, each of the adaptor of its name."""


def contradictions(table: Mapping[str, Any]) -> Iterator[str]:
    """What each key of a dataset's TOML cannot mean beside the others, a line each.

    Takes the TOML as it was written: values of a wrong type are told elsewhere.
    """

    def value(key: str) -> Any:
        return table.get(key, DatasetSpec.model_fields[key].default)

    shares = [value(part) for part in SPLITS]
    if all(isinstance(part, int | float) for part in shares) and abs(sum(shares) - 1) > 1e-6:
        yield f"train + validation + test must be 1 (got {sum(shares):g})"
    labels = value("labels")
    if value("split") == "official" and labels not in HAVE_OFFICIAL_SPLIT:
        having = ", ".join(HAVE_OFFICIAL_SPLIT)
        yield f"split: labels = {labels!r} has no official split (those that do: {having})"
    if value("metadata") is None:
        if labels in NEED_METADATA:
            kind = "file" if labels == "table" else "folder"
            yield f"metadata: labels = {labels!r} needs the {kind} that holds them"
        elif labels == "gtzan" and value("split") == "official":
            yield "metadata: the official split needs the folder of the fault-filtered lists"
    elif labels in ("folder", "tag", "none"):
        yield f"metadata: labels = {labels!r} reads no metadata"
    if value("multi_label") is True and labels in ("folder", "none", "gtzan"):
        yield f"multi_label: labels = {labels!r} gives one label a track"
    if value("multi_label") is False and labels == "mtg_jamendo":
        yield "multi_label: its tracks have several tags: set multi_label = true"
    for name in OPTIONS:
        if name in table and name != labels:
            yield f"{name}: options of labels = {name!r}, and labels is {labels!r}"
