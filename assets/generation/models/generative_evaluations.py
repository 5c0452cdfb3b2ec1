"""`generative_evaluations`: how a generative model developed, and what it may have memorised."""

from typing import Any, ClassVar

import polars as pl
from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.context import Context
from melgraph.assets.generation.models.embedding import SoundEmbedder
from melgraph.assets.generation.models.generative_model import GenerativeModel
from melgraph.assets.generation.models.memorisation import memorisation
from melgraph.assets.generation.models.progress import DISTANCES, distances, progress_sentences
from melgraph.assets.generation.models.reclassification import reclassification
from melgraph.assets.generation.models.rendering import SampleRenderer
from melgraph.assets.generation.selection import HELD_OUT
from melgraph.assets.library.inputs import input_references
from melgraph.assets.materialize import materialize, stage_asset
from melgraph.assets.models.vectors.published_weights import published_weights
from melgraph.assets.readers import Reader
from melgraph.assets.resources import HomeResource
from melgraph.assets.settings import use_numba_cache, weights_folder
from melgraph.assets.stage import Metadata, Stage
from melgraph.assets.stages import GENERATIVE_EVALUATIONS
from melgraph.assets.ui import markdown_table, picture
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.files import write_json
from melgraph.storage.records import Spec
from melgraph.storage.tables import read_table, write_table
from melgraph.storage.test_reads import register_read

PICTURE, TABLE, REPORT = "progress.png", "distances.parquet", "report.json"
EMBEDDING, TAGGERS = "embedding", "taggers"  # keys of the config


class GenerativeEvaluation(Reader):
    """A committed `generative_evaluations`."""

    stage: ClassVar[Stage] = GENERATIVE_EVALUATIONS

    @property
    def sentences(self) -> list[str]:
        """What the evaluation says, in plain words."""
        sentences: list[str] = self.facts["sentences"]
        return sentences

    def distances(self) -> pl.DataFrame:
        """The kernel audio distance by epoch and genre."""
        return read_table(self.artifact.folder / TABLE)

    @property
    def pictures(self) -> list[str]:
        """The names of the PNG files, the curves first."""
        names = [name for name in self.artifact.record.files if name.endswith(".png")]
        return sorted(names, key=lambda name: (name != PICTURE, name))


def plan_generative_evaluation(context: Context, name: str) -> Spec:
    """The evaluation of the current generative model, by the tagger that it names.

    Without the weights of the tagger on this machine, there are no distances: nothing is fetched
    for them. When the weights are there, another evaluation is planned.

    Raises:
        UserError, StorageError: the model is not trained yet, or the weights of the tagger are
            damaged.
    """
    store, described = context.store, context.specs.generative_models[name]
    model = GenerativeModel.current(store, name)
    snapshot, tagger = model.snapshot, described.embedding
    batches = snapshot.table().filter(pl.col("split").is_in(HELD_OUT))["batch"].unique().to_list()
    representation = described.input.representation
    inputs = {
        model.reference,
        snapshot.reference,
        *snapshot.tracks_references,
        *input_references(store, batches, representation),
        *(r for r in model.spec.inputs if r.asset == representation),
    }
    is_at_hand = context.specs.taggers[tagger].is_at_hand(weights_folder(context.home))
    published = {tagger: published_weights(context, tagger)} if is_at_hand else {}
    config = {EMBEDDING: tagger, TAGGERS: published}
    return GENERATIVE_EVALUATIONS.spec(name, tuple(sorted(inputs)), config, described.seed)


def write_generative_evaluation(store: ArtifactStore, work: Work) -> None:
    """Write the distances by epoch, the picture of the progress, and what was memorised."""
    use_numba_cache(store.home)
    from melgraph.assets.models.vectors.published_weights import weight_licences

    config = work.spec.config
    work.licences += weight_licences(config)
    model = GenerativeModel.input_of(store, work.spec)
    _register_look(store, work, model)
    held_out = model.snapshot.table().filter(pl.col("split").is_in(HELD_OUT))
    rows: dict[str, Any] = {name: [] for name in DISTANCES}
    for name, published in config[TAGGERS].items():
        embedder = SoundEmbedder(store.home, published, name)
        rows = distances(SampleRenderer(model), embedder, held_out)
    sentences = progress_sentences(model, rows)
    if not config[TAGGERS]:
        sentences.append(_no_distance(config[EMBEDDING]))
    work.facts.update(
        {
            "title": model.title,
            "kind": model.kind,
            EMBEDDING: config[EMBEDDING],
            **{name: rows[name] for name in DISTANCES if name != "epochs"},
            "sentences": sentences,
        }
    )
    further = {"rectified_flow": memorisation, "recreation": reclassification}.get(model.kind)
    if further is not None:
        facts, more = further(store, work, model, held_out)
        work.facts.update(facts)
        sentences += more
    columns = rows["epochs"] or {"epoch": [], "genre": []}
    write_table(pl.DataFrame(columns, infer_schema_length=None), work.folder / TABLE)
    (work.folder / PICTURE).write_bytes(_picture(model, rows))
    write_json(work.folder / REPORT, work.facts)


def _register_look(store: ArtifactStore, work: Work, model: GenerativeModel) -> None:
    """Note the look at the test split before it happens: the genres of its tracks are read."""
    snapshot = model.snapshot
    register_read(
        store.home,
        snapshot.reference,
        snapshot.track_ids("test"),
        work.spec.reference,
        "generative model",
        work.run.get("dagster"),
    )


def _no_distance(tagger: str) -> str:
    return (
        "The distance (KAD) to held-out recordings was not computed, because the weights of the "
        f"tagger {tagger} are not on this machine. To fetch them: melgraph tag --tagger {tagger} "
        "FILE; then run the same command again."
    )


def _picture(model: GenerativeModel, distance_rows: dict[str, Any]) -> bytes:
    """Losses and distances by epoch; the unchanging distances of real crops as level lines."""
    from melgraph.ml.plots.generative import Panel, generative_curves

    kad = {(row["epoch"], row["genre"]): row for row in distance_rows["epochs"]}
    level = {
        f"{what} {row['genre']}": row["kad"]
        for what, name in (("real", "ceiling"), ("source", "floor"))
        for row in distance_rows[name]
    }
    last = model.facts["epochs"]
    shown = [row for (epoch, _), row in kad.items() if epoch == last and row["kad"] is not None]
    rows = [
        row
        | level
        | {f"kad {one['genre']}": kad.get((row["epoch"], one["genre"]), {}).get("kad")
           for one in shown}
        for row in model.curves.to_dicts()
    ]  # fmt: skip
    panels = []
    if model.kind == "cyclegan":  # much smaller than the loss of the training
        panels.append(Panel("Validation loss", {"validation_loss": "validation"}, "loss"))
    for row in shown:
        genre = row["genre"]
        names = {
            f"kad {genre}": "samples",
            f"real {genre}": "real crops of the genre",
            f"source {genre}": "unchanged sources",
        }
        lines = {key: name for key, name in names.items() if rows[-1].get(key) is not None}
        sizes = f"{row['n']} songs, {row['n_reference']} recordings"
        panels.append(
            Panel(f"Distance to held-out {genre} ({sizes})", lines, "KAD", from_zero=False)
        )
    return generative_curves(rows, panels)


@stage_asset(GENERATIVE_EVALUATIONS)
def generative_evaluations(
    context: AssetExecutionContext, home: HomeResource
) -> MaterializeResult[None]:
    """How what a generative model makes developed over its training.

    The kernel audio distance (KAD) to held-out recordings of the genre is computed for the samples
    of up to twelve epochs, by the embeddings of a published tagger that had no part in the
    training; beside it, that of real crops that were rendered in the same way. For a rectified
    flow, the distance of samples to their nearest training crop says what was memorised. For
    recreations, the network's own classification of originals and recreations is reported.
    """
    return materialize(context, home, GENERATIVE_EVALUATIONS)


def show(artifact: Artifact) -> Metadata:
    """What the evaluation says, and its pictures."""
    facts = artifact.facts
    changes = facts["changes"]
    pictures = sorted(name for name in artifact.record.files if name.endswith(".png"))
    return {
        "verdict": "\n\n".join(facts["sentences"]),
        **({"changes of the distance": markdown_table(changes)} if changes else {}),
        **{name.removesuffix(".png"): picture(artifact.folder / name) for name in pictures},
    }
