"""The input of a model, as an experiment's TOML file has it. Imports no torch."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from melgraph.ml.errors import UserError
from melgraph.ml.specs.base import TomlTable, later_key

if TYPE_CHECKING:
    from melgraph.ml.specs.encoder import TaggerSpec

STFT, FEATURES = "stft_spectrograms", "audio_features"
AMPLITUDE, PHASE = "amplitude", "phase"
ARRAYS = {AMPLITUDE: "values", PHASE: "phase"}  # channel of the STFT -> its array in the store
IMAGES_OF = {AMPLITUDE: 1, PHASE: 2}  # channel of the STFT -> images that show it

VECTORS = "vectors"
FEATURE_SETS = {"audio_features": "audio_features", "mel_statistics": "mel_spectrograms"}
"""Sources of vectors that are no taggers -> the representation that each is computed from."""
EMBEDDING, TAGS = "embedding", "tags"


class VectorSource(NamedTuple):
    """A part of a vector, as `input.sources` names it: `NAME`, or `NAME:OUTPUT` of a tagger."""

    name: str  # a feature set, or a tagger
    output: str  # of a tagger: `embedding`, `tags` (its logits), or a layer

    @classmethod
    def parse(cls, text: str) -> Self:
        """The source that a text names."""
        name, _, output = text.partition(":")
        return cls(name, output or EMBEDDING)

    @property
    def is_tagger(self) -> bool:
        """Whether a tagger computes it."""
        return self.name not in FEATURE_SETS


class InputSpec(TomlTable):
    """Which representation, which channels of it, in crops of which length."""

    representation: Literal[
        "mel_spectrograms",
        "audio_features",
        "mfcc",
        "stft_spectrograms",
        "waveforms",
        "waveforms_32k",
        "vectors",
    ] = Field(default="mel_spectrograms", description="What is read of each track.")
    channels: tuple[Literal["amplitude", "phase"], ...] = Field(
        default=("amplitude",), description="Channels of `stft_spectrograms`: one, or both."
    )
    crop_s: float = Field(
        default=3.0,
        gt=0,
        le=120,
        description="Length of a crop in training and in use, seconds. Tabular features have none.",
    )
    image: int | None = later_key(
        None,
        since="0.2",
        ge=8,
        le=2048,
        description="Side of the square images that a crop of `stft_spectrograms` becomes, pixels: "
        "one of the amplitude, two of the phase. Absent: the crop as it is stored.",
    )
    columns: tuple[str, ...] = later_key(
        (),
        since="0.2",
        description="Columns of `audio_features` that are used, `*` stands for any letters. "
        "Empty: all.",
    )
    sources: tuple[str, ...] = later_key(
        (),
        since="0.2",
        description="for `vectors`: taggers and feature sets whose vectors are joined",
    )
    statistics: tuple[Literal["mean", "deviation", "lowest", "highest"], ...] = later_key(
        ("mean",),
        since="0.2",
        description="for `vectors`: statistics over the segments of a track, of each tagger",
        min_length=1,
    )

    @model_validator(mode="after")
    def _sources_fit(self) -> Self:
        if (self.representation == VECTORS) != bool(self.sources):
            raise ValueError(f"sources must be named for {VECTORS}, and for nothing else")
        for text in self.sources:
            source = VectorSource.parse(text)
            if not source.is_tagger and source.output != EMBEDDING:
                raise ValueError(f"sources: {source.name} has no output {source.output!r}")
        if len(set(self.sources)) < len(self.sources):
            raise ValueError("sources must name each source once")
        if len(set(self.statistics)) < len(self.statistics):
            raise ValueError("statistics must name each statistic once")
        return self

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        if self.representation != STFT and self.channels != (AMPLITUDE,):
            raise ValueError(f"only {STFT} have channels to choose from")
        if not self.channels or len(set(self.channels)) < len(self.channels):
            raise ValueError("channels must name amplitude, phase or both, each once")
        if self.representation != STFT and self.image is not None:
            raise ValueError(f"only {STFT} become images")
        if self.representation != FEATURES and self.columns:
            raise ValueError(f"only {FEATURES} have columns to choose from")
        return self

    @property
    def vector_sources(self) -> tuple[VectorSource, ...]:
        """The parts of a vector; empty for other representations."""
        return tuple(map(VectorSource.parse, self.sources))

    @property
    def taggers(self) -> tuple[str, ...]:
        """Names of the taggers among the sources, each once, in their order."""
        names = (source.name for source in self.vector_sources if source.is_tagger)
        return tuple(dict.fromkeys(names))

    @property
    def feature_representations(self) -> tuple[str, ...]:
        """The representations of the feature sets among the sources, each once."""
        names = (FEATURE_SETS[s.name] for s in self.vector_sources if not s.is_tagger)
        return tuple(dict.fromkeys(names))

    def representations(self, taggers: "Mapping[str, TaggerSpec]") -> tuple[str, ...]:
        """The stored representations that the input is read from, each once.

        Args:
            taggers: all taggers, by name.
        """
        if self.representation != VECTORS:
            return (self.representation,)
        read = (
            taggers[source.name].representation if source.is_tagger else FEATURE_SETS[source.name]
            for source in self.vector_sources
        )
        return tuple(dict.fromkeys(read))

    @property
    def arrays(self) -> tuple[str, ...]:
        """The arrays of the spectrogram store that hold the channels."""
        return tuple(ARRAYS[channel] for channel in self.channels)

    @property
    def n_channels(self) -> int:
        """Channels of the crop that a model is given."""
        if self.image is None:
            return len(self.channels)
        return sum(IMAGES_OF[channel] for channel in self.channels)

    def has_wrapped_phase(self) -> bool:
        """Whether a model is given the phase in wrapped radians, which no network can average."""
        return PHASE in self.channels and self.image is None

    def select(self, names: Sequence[str]) -> list[int]:
        """The numbers of the columns to use, in the order of `names`.

        Args:
            names: of all columns of the tabular features.

        Raises:
            UserError: an entry of `columns` matches none of the names.
        """
        for pattern in self.columns:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise UserError(
                    f"no column of {FEATURES} matches {pattern!r}",
                    where="input.columns of the experiment",
                    remedy=f"use some of: {', '.join(names)}",
                )
        patterns = self.columns or ("*",)
        return [
            number
            for number, name in enumerate(names)
            if any(fnmatchcase(name, pattern) for pattern in patterns)
        ]

    def description(self) -> dict[str, Any]:
        """The keys for the description in a checkpoint; read them back with `of_description`."""
        return self.dump_for_version(mode="json")

    @classmethod
    def whole(cls, representation: str) -> Self:
        """A whole representation, with all of its columns."""
        return cls.model_validate({"representation": representation})

    @classmethod
    def of_description(cls, described: Mapping[str, Any]) -> Self:
        """The input that the description in a checkpoint names."""
        return cls.model_validate({k: v for k, v in described.items() if k in cls.model_fields})
