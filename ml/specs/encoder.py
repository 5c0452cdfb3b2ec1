"""The specifications of an encoder and of a published tagger. Imports no torch."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from melgraph.ml.specs.base import LicenceSpec, TomlSpec, later_key

FILE = "encoders.toml"  # in a folder of specifications: the encoders in service
FUSION = "fusion"  # the kind of an encoder that joins the vectors of others


class TaggerSpec(TomlSpec):
    """A tagger with public weights, for `melgraph tag` and for encoders of kind `tagger`."""

    architecture: Literal[
        "crnn",
        "fcn",
        "harmonic_cnn",
        "mobilenet_v3",
        "musicnn",
        "sample_cnn",
        "sample_cnn_se",
        "self_attention",
    ] = Field(
        description="the network that the weights belong to; its widths are read from the weights"
    )
    weights: str | None = Field(
        None, description="URL of the state dict; absent: put the file there"
    )
    file: str = Field(description="file name below the folder of weights, or an absolute path")
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{8,64}$", description="SHA-256 of the file, or its first digits"
    )
    tags: tuple[str, ...] = Field((), description="names of the outputs; empty: they are numbered")
    copies: dict[str, str] = later_key(
        {},
        since="0.2",
        description="other files with the same tensors, used if `file` is missing: their names, "
        "and the SHA-256 of each",
    )
    licence: LicenceSpec | None = later_key(
        None,
        since="0.2",
        description="the licence of the weights, for the records of what is made with them; "
        "absent: as melgraph knows it by the SHA-256, else not stated",
    )

    @property
    def representation(self) -> str:
        """The representation that the tagger takes: the waveform at its sample rate."""
        return "waveforms_32k" if self.architecture == "mobilenet_v3" else "waveforms"

    def is_at_hand(self, folder: Path) -> bool:
        """Whether its weights are on this machine, so that nothing would be fetched.

        Args:
            folder: of the weights.
        """
        return any(
            (folder / Path(name).expanduser()).is_file() for name in (self.file, *self.copies)
        )

    @model_validator(mode="after")
    def _tags_differ(self) -> Self:
        repeated = sorted({tag for tag in self.tags if self.tags.count(tag) > 1})
        if repeated:
            raise ValueError(f"tags: named twice: {', '.join(repeated)}")
        return self


class EncoderSpec(TomlSpec):
    """An encoder: how a track becomes a vector."""

    kind: Literal["experiment", "tagger", "mel_statistics", "audio_features", "fusion"] = Field(
        description="a trained experiment; a published tagger; mean and standard deviation of each "
        "mel band; the tabular features; or a fusion, which joins the vectors of other encoders"
    )
    experiment: str | None = Field(None, description="name of an experiment")
    tagger: str | None = Field(None, description="name of a tagger")
    layer: str = Field(
        "embedding",
        description="layer of the network: `embedding` is the input of its last layer; or a "
        "convolution, see ml/models/README.md",
    )
    pooling: Literal["mean", "max"] = Field(
        "mean", description="how the output of a convolution is reduced over its positions"
    )
    dataset: str = Field("genres", description="dataset whose labels its reports use")
    by_default: bool = Field(True, description=f"whether it is in service where there is no {FILE}")
    parts: tuple[str, ...] = later_key(
        (),
        since="0.2",
        description="the encoders that a fusion joins, in the order of their vectors",
    )
    weights: tuple[Annotated[float, Field(gt=0)], ...] = later_key(
        (),
        since="0.2",
        description="of the parts of a fusion: their shares in the similarity of two tracks, of "
        "any sum; empty: equal shares",
    )

    @model_validator(mode="after")
    def _layer_of_a_network(self) -> Self:
        if self.layer != "embedding" and self.kind not in ("experiment", "tagger"):
            raise ValueError(f"layer: an encoder of kind {self.kind!r} has no layers")
        return self

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of each part of a fusion in the similarity of two tracks; their sum is 1."""
        weights = self.weights or (1.0,) * len(self.parts)
        return tuple(weight / sum(weights) for weight in weights)


def fusion_problems(
    name: str,
    table: Mapping[str, Any],
    encoders: Mapping[str, EncoderSpec],
    all_names: Collection[str],
) -> Iterator[str]:
    """The keys of an encoder's TOML file that make no fusion, one line for each problem.

    Args:
        name: of the encoder.
        table: the file, with what it extends. Values of a wrong type are skipped, because the
            validation of `EncoderSpec` reports them.
        encoders: the valid encoders by name.
        all_names: the names of all encoders, valid or not.
    """
    parts, weights = table.get("parts"), table.get("weights")
    if table.get("kind") != FUSION:
        needless = [key for key in ("parts", "weights") if key in table]
        yield from (f"{key}: only an encoder of the kind {FUSION!r} has {key}" for key in needless)
        return
    needless = [key for key in ("experiment", "tagger") if key in table]
    yield from (f"{key}: a fusion names {key}s by their encoders, in parts" for key in needless)
    if parts is None:
        yield "parts: a fusion must name the encoders that it joins"
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        return
    if len(parts) < 2:
        yield f"parts: a fusion joins at least two encoders (got {parts!r})"
    repeated = sorted({part for part in parts if parts.count(part) > 1})
    if repeated:
        yield f"parts: named twice: {', '.join(repeated)}"
    if isinstance(weights, list) and weights and len(weights) != len(parts):
        yield f"weights: {len(weights)} weight(s) for {len(parts)} part(s)"
    choices = ", ".join(sorted(n for n, spec in encoders.items() if spec.kind != FUSION))
    for part in dict.fromkeys(parts):
        if part == name:
            yield f"parts: {part!r} is this fusion itself; choose from: {choices}"
        elif part not in all_names:
            yield f"parts: {part!r} is not one of the encoders: {choices}"
        elif part in encoders and encoders[part].kind == FUSION:
            of_part = ", ".join(encoders[part].parts)
            yield f"parts: {part!r} is a fusion too; name its parts instead: {of_part}"


def in_service(
    table: Mapping[str, Any] | None, encoders: Mapping[str, EncoderSpec]
) -> tuple[list[str], list[str]]:
    """The encoders in service, and the problems of the file that lists them.

    The parts of a fusion in service are in service too, because its vectors are made from theirs.

    Args:
        table: content of `encoders.toml`; None where there is no such file.
        encoders: all encoders, by name.

    Returns:
        The sorted names, and one line for each problem.
    """
    if table is None:
        return _with_parts((n for n, spec in encoders.items() if spec.by_default), encoders), []
    problems = [
        f"{key}: unknown key; the file has one key, in_service"
        for key in table
        if key != "in_service"
    ]
    names = table.get("in_service")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return [], [*problems, f"in_service: must be a list of names (got {names!r})"]
    all_names = ", ".join(sorted(encoders))
    problems += [
        f"in_service: {name!r} is not one of the encoders: {all_names}"
        for name in names
        if name not in encoders
    ]
    return _with_parts(names, encoders), problems


def _with_parts(names: Iterable[str], encoders: Mapping[str, EncoderSpec]) -> list[str]:
    """The encoders of these names and their parts, sorted. Unknown names are left out."""
    named = set(names) & set(encoders)
    parts = {part for name in named for part in encoders[name].parts}
    return sorted(named | parts & set(encoders))
