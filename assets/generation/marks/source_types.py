"""The digital source type of a generated sound: a term of IPTC that says how it came to be."""

from melgraph.assets.stages import GENERATORS, REQUESTED_SOUNDS
from melgraph.storage.artifacts import Artifact

# Fields in the file metadata of every generated sound.
SOURCE_TYPE_TAG = "digital_source_type"
FILE_TAG = "melgraph_file"
RECORD_TAG = "melgraph_record"
# Of signed copies only: says that a manifest was there, so that an audit misses it.
SIGNED_TAG = "melgraph_signed"
_TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
ALGORITHMIC = f"{_TERMS}algorithmicMedia"
EDITED_BY_A_NETWORK = f"{_TERMS}compositeWithTrainedAlgorithmicMedia"
COMPOSED_BY_A_NETWORK = f"{_TERMS}trainedAlgorithmicMedia"


def digital_source_type(method: str, networks: str) -> str:
    """The term of IPTC for the sounds of a method.

    A sound that a trained network composes is `trainedAlgorithmicMedia`. An edit of a recording by
    a trained network is `compositeWithTrainedAlgorithmicMedia`, because both the recording and what
    the network has learned are in it. Where no trained network takes part, as in an inversion or a
    style transfer by random filters, the term is `algorithmicMedia`: an algorithm made these
    samples, and nothing in it was learned from other recordings. A generator that composes says so
    in its stage (`Stage.composes`).

    Args:
        method: the generation method, as in the recipe.
        networks: the trained networks that took part, as in the file metadata; empty for none.

    Returns:
        The URI of the term.
    """
    if not networks:
        return ALGORITHMIC
    composes = any(stage.composes for stage in GENERATORS if stage.method == method)
    return COMPOSED_BY_A_NETWORK if composes else EDITED_BY_A_NETWORK


def is_generated(artifact: Artifact) -> bool:
    """Whether an artifact holds the sounds of a generator."""
    return any(stage.owns(artifact.reference) for stage in (*GENERATORS, REQUESTED_SOUNDS))
