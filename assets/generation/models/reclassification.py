"""Recreations of held-out songs: classified by the same networks, and projected to a plane."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from melgraph.assets.generation.models.generative_model import GenerativeModel
from melgraph.assets.generation.models.generative_models import spec_of
from melgraph.assets.library.inputs import TrackInputs
from melgraph.assets.materialize import inputs_of
from melgraph.assets.stages import REPRESENTATIONS
from melgraph.storage.artifacts import ArtifactStore, Work

if TYPE_CHECKING:
    from melgraph.ml.judging.summary import Mean

EXCERPT_S = 10.0  # of each held-out song
_CAUTION = " This proves little, because the network that made a recreation also judges it."
PLANE, PAIRS, CURVES = "plane.png", "pairs-{}.png", "genres.png"


def reclassification(
    store: ArtifactStore, work: Work, model: GenerativeModel, held_out: pl.DataFrame
) -> tuple[dict[str, Any], list[str]]:
    """How often originals and recreations are of their genre, by the smallest error.

    Also writes the pictures: true beside synthetic MFCC of a song of each genre, the plane of the
    mean MFCC, and the losses of the genres side by side.

    Returns:
        Facts, and sentences for people.
    """
    from melgraph.ml.generative.recreation.classification import classify
    from melgraph.ml.judging.summary import mean_of

    described = spec_of(model.spec)
    stage = REPRESENTATIONS[described.input.representation]
    inputs = TrackInputs(inputs_of(store, work.spec, stage), described.input)
    network, _ = model.load(described.kind)
    table = held_out.filter(pl.col("label").is_in(model.genres)).sort("track_id")
    frames = round(EXCERPT_S * inputs.frames_per_second)
    arrays = inputs.tracks(table["batch"].to_list(), table["track_id"].to_list())
    originals = [np.asarray(array[:frames], np.float32) for array in arrays]
    genres = table["label"].to_list()
    recreations = [
        network.recreate(one, genre) for one, genre in zip(originals, genres, strict=True)
    ]
    facts: dict[str, Any] = {"songs": table.height}
    sentences = []
    if len(model.genres) > 1 and table.height:
        groups = [
            track if group is None else group
            for track, group in table.select("track_id", "group").iter_rows()
        ]
        songs = table["track_id"].to_list()
        for what, several in (("originals", originals), ("recreations", recreations)):
            right = [float(classify(network, one).genre == genre)
                     for one, genre in zip(several, genres, strict=True)]  # fmt: skip
            mean = mean_of(right, songs, groups)
            if mean is not None:
                facts[what] = mean.facts()
                sentences.append(
                    f"The networks themselves assign {mean.mean:.0%} of {mean.songs} held-out "
                    f"{what} to their genre (95 % confidence interval {mean.low:.0%} to "
                    f"{mean.high:.0%} over songs, {_over_artists(mean)}; chance is "
                    f"{1 / len(model.genres):.0%}), by the smallest "
                    f"error.{_CAUTION if what == 'recreations' else ''}"
                )
    _write_pictures(work, model, inputs, originals, recreations, genres)
    return {"reclassification": facts}, sentences


def _over_artists(mean: "Mean") -> str:
    if mean.group_low is None or mean.group_high is None:
        return "one artist only"
    return f"{mean.group_low:.0%} to {mean.group_high:.0%} over {mean.groups} artists"


def _write_pictures(
    work: Work,
    model: GenerativeModel,
    inputs: TrackInputs,
    originals: Sequence[np.ndarray],
    recreations: Sequence[np.ndarray],
    genres: Sequence[str],
) -> None:
    from melgraph.ml.generative.recreation.projection import project
    from melgraph.ml.plots.generative import loss_curves_side_by_side, mfcc_pair, pca_scatter

    if len(originals) > 2:
        plane = project(originals, recreations)
        drawn = pca_scatter(plane.originals, plane.recreations, genres, plane.explained)
        (work.folder / PLANE).write_bytes(drawn)
    for number, genre in enumerate(model.genres, start=1):
        if genre in genres:
            song = genres.index(genre)
            drawn = mfcc_pair(
                originals[song],
                recreations[song],
                frames_per_second=inputs.frames_per_second,
                title=f"{genre}: a held-out song, and its recreation",
            )
            (work.folder / PAIRS.format(number)).write_bytes(drawn)
    curves = _genre_curves(model)
    if curves:
        drawn = loss_curves_side_by_side(curves, loss_label="mean squared error")
        (work.folder / CURVES).write_bytes(drawn)


def _genre_curves(model: GenerativeModel) -> dict[str, list[dict[str, Any]]]:
    """Genre -> its losses by epoch; genres without a validation loss are left out."""
    from melgraph.ml.generative.base import figure_names

    rows = model.curves.to_dicts()
    names = dict(zip(model.genres, figure_names(model.genres), strict=True))
    return {
        genre: [
            {"epoch": row["epoch"]}
            | {key: row[f"{key}_{name}"] for key in ("train_loss", "validation_loss")}
            for row in rows
        ]
        for genre, name in names.items()
        if f"validation_loss_{name}" in rows[0]
    }
