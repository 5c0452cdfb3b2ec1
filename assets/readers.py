"""The base class of readers: typed access to the files and facts of a committed artifact.

Each subclass reads the artifacts of one stage. Only this subclass and the module that writes the
artifact use the names of its files, columns and facts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from melgraph.assets.stage import Stage
from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.records import Reference, Spec


@dataclass(frozen=True)
class Reader:
    """A committed artifact of one stage.

    Attributes:
        stage: the stage whose artifacts the class reads.
        store: the store that holds the artifact and its inputs.
        artifact: the files and the record.
    """

    stage: ClassVar[Stage]
    store: ArtifactStore
    artifact: Artifact

    @classmethod
    def current(cls, store: ArtifactStore, partition: str) -> Self:
        """The current version of a partition.

        Raises:
            ArtifactMissing: the partition was never materialized.
        """
        return cls(store, store.need(cls.stage.name, partition))

    @classmethod
    def all_current(cls, store: ArtifactStore) -> list[Self]:
        """The current version of every partition, sorted by partition."""
        return [cls.current(store, name) for name in store.partitions(cls.stage.name)]

    @classmethod
    def at(cls, store: ArtifactStore, reference: Reference) -> Self:
        """The version that a reference names.

        Raises:
            ArtifactMissing: it has no record.
        """
        return cls(store, store.get(reference))

    @classmethod
    def inputs_of(cls, store: ArtifactStore, spec: Spec) -> list[Self]:
        """The inputs of a spec that belong to this stage, sorted by partition."""
        references = sorted(r for r in spec.inputs if cls.stage.owns(r))
        return [cls.at(store, reference) for reference in references]

    @classmethod
    def input_of(cls, store: ArtifactStore, spec: Spec) -> Self:
        """The only input of a spec that belongs to this stage."""
        (one,) = cls.inputs_of(store, spec)
        return one

    @property
    def name(self) -> str:
        """The partition."""
        return self.artifact.reference.partition

    @property
    def reference(self) -> Reference:
        """`asset/partition/version`."""
        return self.artifact.reference

    @property
    def spec(self) -> Spec:
        """The spec, which determined the bytes of the artifact."""
        return self.artifact.record.spec

    @property
    def facts(self) -> Mapping[str, Any]:
        """The summary that the record holds."""
        return self.artifact.record.facts
