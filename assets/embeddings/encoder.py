"""The reader of a committed encoder: its input, its vectors and its network."""

from pathlib import Path
from typing import Any, ClassVar

from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.models.trained_model import TrainedModel, device
from melgraph.assets.readers import Reader
from melgraph.assets.stage import Stage
from melgraph.assets.stages import ENCODERS
from melgraph.ml.specs.encoder import FUSION
from melgraph.ml.specs.model_input import InputSpec

DESCRIPTION, CHECKPOINT, STATISTICS = "encoder.json", "checkpoint", "statistics.npz"


class Encoder(Reader):
    """A committed `encoders`: a name, frozen to one version of a model, weights or statistics."""

    stage: ClassVar[Stage] = ENCODERS

    @property
    def kind(self) -> str:
        """`experiment`, `tagger`, `mel_statistics`, `audio_features` or `fusion`."""
        kind: str = self.spec.config["kind"]
        return kind

    @property
    def is_fusion(self) -> bool:
        """Whether it joins the vectors of other encoders, and so reads no representation itself."""
        return self.kind == FUSION

    @property
    def parts(self) -> list["Encoder"]:
        """The encoders that a fusion joins, in the versions that it is frozen to; else none."""
        if not self.is_fusion:
            return []
        versions = {part.name: part for part in Encoder.inputs_of(self.store, self.spec)}
        return [versions[name] for name in self.spec.config["parts"]]

    @property
    def representations(self) -> set[str]:
        """The representations that its vectors are computed from, in a fusion by its parts."""
        if self.is_fusion:
            return {name for part in self.parts for name in part.representations}
        return {self.input.representation}

    @property
    def input(self) -> InputSpec:
        """What it reads of each track: the representation, channels, columns, crop length.

        Raises:
            ValueError: it is a fusion; its `parts` have inputs.
        """
        if self.is_fusion:
            raise ValueError(f"{self.name} is a fusion: ask each of its parts for the input")
        return InputSpec.of_description(self.facts["input"])

    @property
    def transform(self) -> dict[str, Any]:
        """The settings of the representation at the time when the encoder was frozen."""
        transform: dict[str, Any] = self.facts["input"]["transform"]
        return transform

    @property
    def crop_s(self) -> float:
        """Length of a segment in seconds; 0 if the encoder defines none.

        The segments of a fusion are those of one of its parts.
        """
        if self.is_fusion:
            return float(self.facts["crop_s"])
        return float(self.facts["input"]["crop_s"])

    @property
    def segment_frames(self) -> int:
        """Length of a segment in frames; a fusion has no frames."""
        return int(self.facts["segment_frames"])

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self.facts["dimension"])

    @property
    def layer(self) -> str | None:
        """The layer of the network whose output is the vector; None without a network."""
        layer: str | None = self.facts.get("layer")
        return layer

    @property
    def classes(self) -> list[str]:
        """The classes or tags that its network predicts.

        The list is empty without a network, and for encoders that an older melgraph wrote.
        """
        classes: list[str] = self.facts.get("classes", [])
        return classes

    @property
    def statistics(self) -> Path:
        """The `.npz` file with the mean and the standard deviation over a dataset."""
        return self.artifact.folder / STATISTICS

    @property
    def seconds_per_audio_minute(self) -> float | None:
        """Seconds per minute of audio on the machine that froze the encoder; None if not timed."""
        seconds = self.artifact.record.run.get("seconds_per_audio_minute")
        return None if seconds is None else float(seconds)

    @property
    def training_batches(self) -> set[str]:
        """The track batches of the dataset snapshots among its inputs."""
        snapshots = Snapshot.inputs_of(self.store, self.spec)
        return {batch for snapshot in snapshots for batch in snapshot.batches}

    def network(self) -> Any:
        """The network, on the device of this machine; None if the encoder has no network.

        Raises:
            UserError: the checkpoint is missing or was altered.
        """
        from melgraph.ml.weights import checkpoints

        if self.kind == "tagger":
            return checkpoints.load(self.artifact.folder / CHECKPOINT, device())[0]
        if self.kind == "experiment":
            return TrainedModel.input_of(self.store, self.spec).load()[0]
        return None
