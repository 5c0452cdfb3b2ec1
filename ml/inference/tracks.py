"""From tracks to probabilities and embeddings: segments in bounded batches, averaged by track."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from melgraph.ml.errors import UserError
from melgraph.ml.inference.track_set import width_of
from melgraph.ml.models.base import Aggregate as Aggregate
from melgraph.ml.models.base import Classifier

Pooling = Literal["mean", "max"]
Progress = Callable[[int, int], None]  # (segments done, segments in all)
EMBEDDING = "embedding"  # the input of the last layer


@dataclass(frozen=True)
class EmbeddedTracks:
    """Embeddings of tracks and of their segments.

    The segments of track `t` are `segment_vectors[segment_offsets[t] : segment_offsets[t + 1]]`.
    """

    vectors: np.ndarray  # float32 [track, dim]: the mean of the track's segment vectors
    segment_vectors: np.ndarray  # float32 [segment, dim]
    segment_offsets: np.ndarray  # int64 [track + 1]
    segment_starts: np.ndarray  # int64 [segment]: first frame of the segment within its track


def predict_tracks(
    model: Classifier,
    arrays: Sequence[np.ndarray],
    *,
    aggregate: Aggregate | None = None,
    batch_size: int = 32,
    max_segments: int | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> np.ndarray:
    """Class probabilities of whole tracks, from those of their segments.

    Softmax of each segment; for a model of tags (`multi_label`), the sigmoid of each tag.

    Args:
        model: moved to `device`; used in evaluation mode, then left in the mode it was in. Segments
            have the length `model.shape.frames`.
        arrays: per track `[frame]`, `[frame, bin]` or `[frame, bin, channel]` as stored; may be
            memory maps.
        aggregate: `mean` of the segments' probabilities; or `vote`, the share of segments that the
            class wins, where the mean decides between equals. Tags have no winner: `mean` alone.
            None: as the experiment of the model says (`model.aggregate`).
        batch_size: segments per forward pass; with their length it bounds the memory used.
        max_segments: at most so many segments per track, evenly spread; None for all.
        device: torch device.
        progress: called after each batch with (segments done, segments in all).

    Returns:
        float32 `[track, class]`, from 0 to 1; rows sum to 1, but not those of tags.

    Raises:
        UserError: a vote on tags.

    >>> from melgraph.ml.models import InputShape, build
    >>> model = build("small_cnn", InputShape(channels=1, bins=64, frames=32), n_classes=4)
    >>> predict_tracks(model, [np.zeros((100, 64)), np.zeros((50, 64))]).shape
    (2, 4)
    """
    aggregate = aggregate or model.aggregate
    check_aggregate(aggregate, multi_label=model.multi_label)
    plan = _plan(arrays, model.shape.frames, max_segments)
    sums = np.zeros((len(arrays), model.n_classes), dtype=np.float64)
    votes = np.zeros_like(sums)
    with _evaluating(model, device):
        for segments, x in _batches(arrays, plan, model.shape.frames, batch_size, device):
            logits = model(x).float()
            scores = logits.sigmoid() if model.multi_label else torch.softmax(logits, dim=1)
            probabilities = scores.cpu().numpy()
            np.add.at(sums, plan.track[segments], probabilities)
            np.add.at(votes, (plan.track[segments], probabilities.argmax(axis=1)), 1.0)
            _report(progress, segments, plan)
    return combine_segments(sums, votes, np.diff(plan.offsets), aggregate)


def combine_segments(
    sums: np.ndarray, votes: np.ndarray, counts: np.ndarray, aggregate: Aggregate
) -> np.ndarray:
    """The probabilities of tracks from those of their segments: float32 `[track, class]`.

    Args:
        sums: float64 `[track, class]`: the sum of the segments' probabilities.
        votes: float64 `[track, class]`: how many segments the class wins.
        counts: int `[track]`: segments of each track.
        aggregate: see `predict_tracks`.
    """
    n_segments = counts[:, None]
    means = sums / n_segments
    if aggregate == "vote":  # less than a vote of the mean, so that it decides between equals only
        means = (votes + means / 2) / (n_segments + 0.5)
    combined: np.ndarray = means.astype(np.float32)
    return combined


def check_aggregate(aggregate: Aggregate, *, multi_label: bool) -> None:
    """Refuse a vote on tags.

    Raises:
        UserError: each segment has one vote, and a track may have several tags.
    """
    if multi_label and aggregate == "vote":
        raise UserError(
            "a vote of the segments is not defined where tracks have several labels",
            where="aggregate of the experiment",
            remedy='set aggregate = "mean"',
        )


def embed_tracks(
    model: Classifier,
    arrays: Sequence[np.ndarray],
    *,
    layer: str = EMBEDDING,
    pooling: Pooling = "mean",
    batch_size: int = 32,
    max_segments: int | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> EmbeddedTracks:
    """Vectors of whole tracks and of their segments; other arguments as for `predict_tracks`.

    A remainder of less than half a segment at the end of a track is left out. A segment shifted
    back to cover it would count most of its frames twice; and for a tagger with segments of 29 s
    it would double the cost of a clip of 30 s.

    Args:
        layer: `embedding`, or one of `model.layers()`.
        pooling: of such a layer's output, over all its positions.

    Raises:
        UserError: the model has no such layer.
    """
    plan = _plan(arrays, model.shape.frames, max_segments, least_new=0.5)
    vectors = None
    with _evaluating(model, device), reading(model, layer, pooling) as read:
        for segments, x in _batches(arrays, plan, model.shape.frames, batch_size, device):
            of_batch = read(x).float().cpu().numpy()
            if vectors is None:
                vectors = np.zeros((len(plan.track), of_batch.shape[1]), dtype=np.float32)
            vectors[segments] = of_batch
            _report(progress, segments, plan)
    if vectors is None:
        vectors = np.zeros((0, model.embedding_dim), dtype=np.float32)
    sums = np.zeros((len(arrays), vectors.shape[1]), dtype=np.float64)
    np.add.at(sums, plan.track, vectors)
    return EmbeddedTracks(
        vectors=(sums / np.diff(plan.offsets)[:, None]).astype(np.float32),
        segment_vectors=vectors,
        segment_offsets=plan.offsets,
        segment_starts=plan.start,
    )


@contextmanager
def reading(
    model: Classifier, layer: str, pooling: Pooling
) -> Iterator[Callable[[Tensor], Tensor]]:
    """A function that reads vectors `[batch, dim]` of input as stored from a layer of the model.

    Raises:
        UserError: the model has no such layer.
    """
    if layer == EMBEDDING:
        yield model.embed
        return
    layers = model.layers()
    if layer not in layers:
        raise UserError(
            f"{model.architecture!r} has no layer {layer!r}",
            where="layer of the encoder",
            remedy=f"use one of: {', '.join([EMBEDDING, *layers])}",
        )
    outputs: list[Tensor] = []
    hook = layers[layer].register_forward_hook(lambda _module, _input, out: outputs.append(out))

    def read(x: Tensor) -> Tensor:
        model.embed(x)
        out = outputs.pop()  # [batch, channel, height, width], or [batch, channel, position]
        positions = tuple(range(2, out.ndim))
        return out.mean(dim=positions) if pooling == "mean" else out.amax(dim=positions)

    try:
        yield read
    finally:
        hook.remove()


def segment_starts(
    n_frames: int, *, crop_frames: int, max_segments: int | None = None, least_new: float = 0.0
) -> np.ndarray:
    """First frames of the consecutive segments that cover a track: int64 `[segment]`.

    They do not overlap, except that a last partial one is shifted back to end with the track. A
    track shorter than a segment is one segment, from 0.

    Args:
        n_frames: of the track.
        crop_frames: of a segment.
        max_segments: at most so many, evenly spread; None for all.
        least_new: share of a segment that the last one must add to those before it, to be there.
    """
    if n_frames < 1 or crop_frames < 1:
        raise ValueError(f"need at least 1 frame, got {n_frames}, crop_frames {crop_frames}")
    last = max(0, n_frames - crop_frames)
    starts = np.append(np.arange(0, last, crop_frames), last).astype(np.int64)
    if len(starts) > 1 and starts[-1] - starts[-2] < least_new * crop_frames:
        starts = starts[:-1]
    if max_segments is not None and len(starts) > max_segments:
        middles = (np.arange(max_segments) + 0.5) * len(starts) / max_segments
        starts = starts[middles.astype(np.int64)]
    return starts


def crop_batch(
    arrays: Sequence[np.ndarray],
    tracks: np.ndarray,
    starts: np.ndarray,
    *,
    crop_frames: int,
) -> Tensor:
    """Crops straight from the (mapped) arrays: `[crop, channel, bin, frame]`, as stored.

    Left in the stored dtype, often float16: torch widens it several times as fast as numpy, where
    the model computes, and half as many bytes travel there.

    A track shorter than the crop is repeated from its beginning until it fills it, as CLAP does
    (Wu et al. 2023, "repeat padding"). Padding with the floor would be worse: -100 dB is far
    outside what music normalises to, shifts the statistics of the batch norms and of the global
    pooling, and makes "is short" a feature a model can learn instead of the music.
    """
    bins, channels = width_of(arrays[0])
    pieces = []
    for track, start in zip(tracks, starts, strict=True):
        piece = arrays[track][start : start + crop_frames]
        if len(piece) < crop_frames:
            piece = np.resize(arrays[track], (crop_frames, *piece.shape[1:]))
        pieces.append(piece)
    batch = torch.from_numpy(np.stack(pieces)).view(len(pieces), crop_frames, bins, channels)
    return batch.permute(0, 3, 2, 1)


@dataclass(frozen=True)
class _Plan:
    track: np.ndarray  # int64 [segment]
    start: np.ndarray  # int64 [segment]
    offsets: np.ndarray  # int64 [track + 1]


def _plan(
    arrays: Sequence[np.ndarray],
    crop_frames: int,
    max_segments: int | None,
    least_new: float = 0.0,
) -> _Plan:
    starts = [
        segment_starts(
            len(s), crop_frames=crop_frames, max_segments=max_segments, least_new=least_new
        )
        for s in arrays
    ]
    counts = np.array([len(s) for s in starts], dtype=np.int64)
    return _Plan(
        track=np.repeat(np.arange(len(starts), dtype=np.int64), counts),
        start=np.concatenate([*starts, np.empty(0, dtype=np.int64)]),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    )


@contextmanager
def _evaluating(model: Classifier, device: str) -> Iterator[None]:
    """The model on `device`, in evaluation mode and without gradients; its mode is restored."""
    was_training = model.training
    model.to(device).eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def _batches(
    arrays: Sequence[np.ndarray], plan: _Plan, crop_frames: int, batch_size: int, device: str
) -> Iterator[tuple[slice, Tensor]]:
    """Yields (segments, float32 `[segment, channel, bin, frame]` on `device`), across tracks."""
    for first in range(0, len(plan.track), batch_size):
        segments = slice(first, min(first + batch_size, len(plan.track)))
        tracks, starts = plan.track[segments], plan.start[segments]
        x = crop_batch(arrays, tracks, starts, crop_frames=crop_frames)
        yield segments, x.to(device).float()


def _report(progress: Progress | None, segments: slice, plan: _Plan) -> None:
    if progress is not None:
        progress(segments.stop, len(plan.track))
