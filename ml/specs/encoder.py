"""What an encoder and a published tagger are, as their TOML says it. Imports no torch."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from melgraph.ml.specs.base import Spec

FILE = "encoders.toml"  # of a specs folder: which encoders are in service


class TaggerSpec(Spec):
    """A tagger with public weights: `melgraph tag`, and what an encoder of kind `tagger` names."""

    architecture: Literal[
        "crnn", "fcn", "harmonic_cnn", "musicnn", "sample_cnn", "sample_cnn_se", "self_attention"
    ] = Field(description="which of the seven the weights are of; widths are read off the file")
    weights: str | None = Field(None, description="URL of the state dict; none: put it there")
    file: str = Field(description="its name below the folder of weights, or its absolute path")
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{8,64}$", description="of the file, or the first digits of it"
    )
    tags: tuple[str, ...] = Field((), description="names of the outputs; empty: numbered")

    @model_validator(mode="after")
    def _tags_differ(self) -> Self:
        twice = sorted({tag for tag in self.tags if self.tags.count(tag) > 1})
        if twice:
            raise ValueError(f"tags: named twice: {', '.join(twice)}")
        return self


class EncoderSpec(Spec):
    """What turns a track into a vector."""

    kind: Literal["experiment", "tagger", "mel_statistics", "audio_features"] = Field(
        description="a trained experiment; a published tagger; mean and deviation of each mel "
        "band; or the tabular features"
    )
    experiment: str | None = Field(None, description="name of an experiment spec")
    tagger: str | None = Field(None, description="name of a tagger spec")
    layer: str = Field(
        "embedding",
        description="of a network: `embedding` is what its last layer reads; or a convolution, as "
        "ml/models/README.md names them",
    )
    pooling: Literal["mean", "max"] = Field(
        "mean", description="of a convolution's output, over all its positions"
    )
    dataset: str = Field("genres", description="dataset whose labels its reports are held against")
    by_default: bool = Field(
        True, description=f"whether it is in service where no {FILE} says which are"
    )

    @model_validator(mode="after")
    def _layer_of_a_network(self) -> Self:
        if self.layer != "embedding" and self.kind not in ("experiment", "tagger"):
            raise ValueError(f"layer: an encoder of kind {self.kind!r} has no layers")
        return self


def in_service(
    table: Mapping[str, Any] | None, encoders: Mapping[str, EncoderSpec]
) -> tuple[list[str], list[str]]:
    """The encoders in service, and what is wrong with the file that says so.

    Args:
        table: of `encoders.toml`; None where there is none.
        encoders: all that are known, by name.

    Returns:
        Names, sorted; and problems, empty where there are none.
    """
    if table is None:
        return sorted(name for name, spec in encoders.items() if spec.by_default), []
    problems = [f"{key}: no such key; there is in_service" for key in table if key != "in_service"]
    names = table.get("in_service")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return [], [*problems, f"in_service: must be a list of names (got {names!r})"]
    known = ", ".join(sorted(encoders))
    problems += [
        f"in_service: {name!r} is not one of the encoders: {known}"
        for name in names
        if name not in encoders
    ]
    return sorted(set(names) & set(encoders)), problems
