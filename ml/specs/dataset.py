"""The specification of a dataset: which collection, which labels, which split."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from melgraph.ml.specs.base import SPLITS, TomlSpec, TomlTable, later_key

NEED_METADATA = ("fma", "mtg_jamendo", "table")
HAVE_OFFICIAL_SPLIT = ("gtzan", *NEED_METADATA)


class Options(TomlTable):
    """Options of one adaptor: the sub-table with the adaptor's name."""


class TagOptions(Options):
    """How the genre in the file metadata becomes labels."""

    separators: list[str] = Field(
        ["/", ";", ","], description="what separates several genres in one field"
    )
    genre_map: dict[str, str] = Field(
        default_factory=dict,
        description="normalised genre -> label; an empty label drops the genre",
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
        ";", min_length=1, description="what separates several labels in one CSV cell"
    )


class DatasetSpec(TomlSpec):
    """A dataset: which tracks of the library, with which labels, in which split."""

    labels: Literal["folder", "tag", "none", "gtzan", "fma", "mtg_jamendo", "table"] = Field(
        "folder", description="where labels come from: an adaptor of ml.collections"
    )
    metadata: str | None = Field(
        None, description="folder with the collection's lists; for a table, the file"
    )
    multi_label: bool = Field(False, description="several labels for each track, or one")
    label_level: int | None = Field(
        None, ge=1, description="folder level of the label; by default the library's own setting"
    )
    collection: str = Field("", description="only tracks whose path starts with this")
    min_tracks_per_class: int = Field(4, ge=1, description="smaller classes are left out")
    min_groups_per_class: int = Field(
        3, ge=1, description="artists (or tracks without one) that a class needs"
    )
    split: Literal["grouped", "leaky", "official"] = Field(
        "grouped",
        description="grouped: an artist or a duplicate is in one split only; leaky: tracks at "
        "random; official: the split of the collection's lists",
    )
    train: float = Field(0.6, gt=0, lt=1, description="share of each class")
    validation: float = Field(
        0.15, ge=0, lt=1, description="share of each class; 0: the last epoch is kept"
    )
    test: float = Field(0.25, gt=0, lt=1, description="share of each class")
    guess_groups: bool = later_key(
        True,
        since="0.2",
        description="whether names of files and folders tell which tracks belong together, where "
        "the artist is not known; they may be wrong",
    )
    seed: int = Field(0, ge=0, description="decides between components that are otherwise equal")
    tag: TagOptions = TagOptions()
    fma: FmaOptions = FmaOptions()
    mtg_jamendo: MtgJamendoOptions = MtgJamendoOptions()
    table: TableOptions = TableOptions()


OPTIONS = tuple(
    name
    for name, field in DatasetSpec.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Options)
)
"""The sub-tables of a dataset's TOML file. Each is named after its adaptor."""


def contradictions(table: Mapping[str, Any]) -> Iterator[str]:
    """Keys of a dataset's TOML file that contradict each other, one line for each.

    Args:
        table: the file as it was written. Values of a wrong type are skipped, because the
            validation of `DatasetSpec` reports them.
    """

    def value(key: str) -> Any:
        return table.get(key, DatasetSpec.model_fields[key].default)

    shares = [value(part) for part in SPLITS]
    if all(isinstance(part, int | float) for part in shares) and abs(sum(shares) - 1) > 1e-6:
        yield f"train + validation + test must be 1 (got {sum(shares):g})"
    labels = value("labels")
    if value("split") == "official" and labels not in HAVE_OFFICIAL_SPLIT:
        collections = ", ".join(HAVE_OFFICIAL_SPLIT)
        yield f"split: labels = {labels!r} has no official split; these have one: {collections}"
    if value("metadata") is None:
        if labels in NEED_METADATA:
            kind = "file" if labels == "table" else "folder"
            yield f"metadata: labels = {labels!r} needs the {kind} that holds the labels"
        elif labels == "gtzan" and value("split") == "official":
            yield "metadata: the official split needs the folder with the fault-filtered lists"
    elif labels in ("folder", "tag", "none"):
        yield f"metadata: labels = {labels!r} reads no metadata"
    if value("multi_label") is True and labels in ("folder", "none", "gtzan"):
        yield f"multi_label: labels = {labels!r} gives one label for each track"
    if value("multi_label") is False and labels == "mtg_jamendo":
        yield "multi_label: the tracks of MTG-Jamendo have several tags: set multi_label = true"
    for name in OPTIONS:
        if name in table and name != labels:
            yield f"{name}: these options are for labels = {name!r}, but labels is {labels!r}"
