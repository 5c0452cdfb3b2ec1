"""The specifications of an encoder and of a published tagger. Imports no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from melgraph.ml.specs.base import LicenceSpec, TomlSpec, later_key

FILE = "encoders.toml"  # in a folder of specifications: the encoders in service


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

    kind: Literal["experiment", "tagger", "mel_statistics", "audio_features"] = Field(
        description="a trained experiment; a published tagger; mean and standard deviation of each "
        "mel band; or the tabular features"
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

    @model_validator(mode="after")
    def _layer_of_a_network(self) -> Self:
        if self.layer != "embedding" and self.kind not in ("experiment", "tagger"):
            raise ValueError(f"layer: an encoder of kind {self.kind!r} has no layers")
        return self


def in_service(
    table: Mapping[str, Any] | None, encoders: Mapping[str, EncoderSpec]
) -> tuple[list[str], list[str]]:
    """The encoders in service, and the problems of the file that lists them.

    Args:
        table: content of `encoders.toml`; None where there is no such file.
        encoders: all encoders, by name.

    Returns:
        The sorted names, and one line for each problem.
    """
    if table is None:
        return sorted(name for name, spec in encoders.items() if spec.by_default), []
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
    return sorted(set(names) & set(encoders)), problems
