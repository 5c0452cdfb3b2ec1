"""From the file of a published tagger to the probabilities of its tags for tracks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.inference.tracks import (
    EmbeddedTracks,
    check_aggregate,
    combine_segments,
    embed_tracks,
)
from melgraph.ml.models.base import Classifier
from melgraph.ml.models.mobilenet_v3 import RATE
from melgraph.ml.models.tagger import Tagger
from melgraph.ml.representations.registry import WAVEFORMS, WAVEFORMS_32K
from melgraph.ml.representations.waveforms import WaveformTransform
from melgraph.ml.specs.encoder import TaggerSpec
from melgraph.ml.weights.files import published_file
from melgraph.ml.weights.published_taggers import load_published_tagger


def load_tagger(spec: TaggerSpec, folder: Path) -> tuple[Tagger, dict[str, Any]]:
    """A published tagger, and the meta of its checkpoint: its tags and its input.

    Args:
        spec: of the tagger.
        folder: of the weights; a missing file is fetched.

    Raises:
        UserError: the weights are missing and cannot be fetched, their checksum is wrong, or the
            number of outputs is not the number of tags in the spec.
    """
    path = tagger_file(spec, folder)
    model = load_published_tagger(spec.architecture, path)
    tags = list(spec.tags) or [f"tag {i}" for i in range(model.n_classes)]
    if len(tags) != model.n_classes:
        raise UserError(
            f"{path.name} has {model.n_classes} outputs, the spec names {len(tags)} tags",
            where="tags of the tagger",
            remedy="name all tags, in the order of the outputs; or none",
        )
    meta = {"classes": tags, "aggregate": "mean", "input": described(model)}
    return model, meta


def tagger_file(spec: TaggerSpec, folder: Path) -> Path:
    """The file with the weights of a tagger: `file`, or one of its `copies`, or fetched.

    Raises:
        UserError: it is missing and cannot be fetched, or its checksum is wrong.
    """
    for name, sha256 in ({} if (folder / spec.file).is_file() else spec.copies).items():
        if (folder / name).is_file():
            return published_file(None, name, sha256, folder)
    return published_file(spec.weights, spec.file, spec.sha256, folder)


def described(model: Tagger) -> dict[str, Any]:
    """The input of a published tagger, as the meta of a checkpoint describes it."""
    return {
        "representation": WAVEFORMS_32K if model.sample_rate == RATE else WAVEFORMS,
        "channels": ["amplitude"],
        "crop_s": model.shape.frames / model.sample_rate,
        "transform": WaveformTransform(model.sample_rate).attributes(),
    }


def probabilities(
    model: Classifier, embedded: EmbeddedTracks, *, device: str = "cpu"
) -> np.ndarray:
    """Class probabilities of embedded tracks, from those of their segments.

    Sigmoids of a model of several labels a track, as tags do not exclude each other; else softmax.
    The segments decide by mean or by vote, as the experiment of the model says (`model.aggregate`).

    Args:
        model: that embedded them, by its `embedding`.
        embedded: the tracks.
        device: torch device the model is on.

    Returns:
        float32 `[track, class]`.

    Raises:
        UserError: a vote on tags.
    """
    check_aggregate(model.aggregate, multi_label=model.multi_label)
    if not len(embedded.segment_vectors):
        return np.zeros((0, model.n_classes), np.float32)
    model.eval()
    with torch.inference_mode():
        logits = model.classify(torch.from_numpy(embedded.segment_vectors).to(device)).double()
        scores = torch.sigmoid(logits) if model.multi_label else torch.softmax(logits, dim=1)
    of_segments, starts = scores.cpu().numpy(), embedded.segment_offsets[:-1]
    winners = np.eye(model.n_classes)[of_segments.argmax(axis=1)]
    return combine_segments(
        np.add.reduceat(of_segments, starts, axis=0),
        np.add.reduceat(winners, starts, axis=0),
        np.diff(embedded.segment_offsets),
        model.aggregate,
    )


def tag_waveforms(
    model: Tagger, samples: Sequence[np.ndarray], *, device: str = "cpu"
) -> np.ndarray:
    """Probabilities of whole tracks: float32 `[track, tag]`.

    Args:
        model: from `load_tagger`.
        samples: per track int16 `[sample]`, mono at the rate of the tagger.
        device: torch device.
    """
    embedded = embed_tracks(model, samples, device=device)
    return probabilities(model, embedded, device=device)


def strongest(
    scores: np.ndarray, tags: Sequence[str], *, most: int
) -> dict[str, list[tuple[str, float]]]:
    """The most probable tags of one track by category, at most `most` of each, in that order.

    MTG-Jamendo writes `genre---rock`: the category stands before the dashes. Tags without one have
    the category `tag`.
    """
    categories = [tag.rpartition("---")[0] or "tag" for tag in tags]
    by_category: dict[str, list[tuple[str, float]]] = {category: [] for category in categories}
    for index in np.argsort(-scores, kind="stable"):
        tags_of_category = by_category[categories[index]]
        if len(tags_of_category) < most:
            tags_of_category.append((tags[index].rpartition("---")[2], float(scores[index])))
    return by_category
