"""`requested_sounds`: sounds from recordings that a user named, beside the recipe's own sounds.

`melgraph generate RECIPE --source FILE_OR_TRACK` makes them. They are written by the generator of
the recipe, from excerpts that are kept, and never replace what `melgraph run` made.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from shlex import quote
from typing import Any, ClassVar

from melgraph.assets.context import Context
from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.generation.excerpts import (
    Cut,
    cut_recording,
    digest_of,
    excerpt_spec,
    part_of,
    write_cut,
)
from melgraph.assets.generation.named_songs import NamedSong, find_song, song_of_track
from melgraph.assets.generation.selection import SONGS, SOURCE_LABELS, Selection
from melgraph.assets.generation.sounds import Sounds
from melgraph.assets.materialize import note_threads
from melgraph.assets.stage import Stage
from melgraph.assets.stages import (
    DATASETS,
    GENERATIVE_MODELS,
    GENERATORS,
    REQUESTED_SOUNDS,
    TRACKS,
    TRAINED_MODELS,
)
from melgraph.ml.errors import UserError
from melgraph.ml.specs.methods.base import IN_THE_REQUEST, Recipe
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.errors import ArtifactCorrupt
from melgraph.storage.outside import remember_place
from melgraph.storage.records import Spec

GENERATOR = "generator"  # key of the configuration: the asset, and its stage integer
LONGEST_S = 60.0  # of an excerpt, as in a recipe
LATEST_START_S = 1e7  # no recording lasts 115 days, and a count of samples stays a small integer
_NAMED_SONGS = (
    "guide", "guide_label", "guide_start_s", "path", "paths", "tracks", SOURCE_LABELS
)  # fmt: skip


class RequestedSounds(Sounds):
    """A committed `requested_sounds`."""

    stage: ClassVar[Stage] = REQUESTED_SOUNDS

    @property
    def recipe(self) -> str:
        """The name of the recipe."""
        return self.name.rpartition(".")[0]

    @property
    def generator(self) -> Stage:
        """The generator that made the sounds."""
        return generator_of(self.spec.config["method"])


def generator_of(method: str) -> Stage:
    """The generator whose recipes have this method."""
    return next(stage for stage in GENERATORS if stage.method == method)


def write_requested_sounds(store: ArtifactStore, work: Work) -> None:
    """Write the sounds with the generator of their method."""
    generator_of(work.spec.config["method"]).write(store, work)


@dataclass(frozen=True)
class Part:
    """One song of a request: the recording, its decoded part, and what a dataset knows of it."""

    song: NamedSong
    cut: Cut
    labels: Mapping[str, Any]

    @property
    def spec(self) -> Spec:
        """The spec of its excerpt."""
        return excerpt_spec(self.song.track, self.song.sha256, self.cut)


@dataclass(frozen=True)
class Request:
    """What a user asked for.

    Attributes:
        context: of the home.
        recipe: the name of the recipe.
        source: a file or a track; None for the sources of the recipe.
        guide: a file or a track; None for the guides of the recipe, if it has any.
        start_s: where the excerpt of each source starts; None as in the recipe.
        seconds: length of each excerpt; None as in the recipe.
    """

    context: Context
    recipe: str
    source: str | None = None
    guide: str | None = None
    start_s: float | None = None
    seconds: float | None = None

    @property
    def stage(self) -> Stage:
        """The generator of the recipe."""
        return generator_of(self._shipped.method)

    @cached_property
    def pairs(self) -> list[tuple[Part, Part | None]]:
        """Each source with its guide, decoded. Nothing is written.

        Raises:
            UserError, StorageError: a recording cannot be used, the guide is the source, or the
                model of the recipe is not trained.
        """
        self.check()
        sources = self._sources() if self.source is None else [self._find(self.source, "--source")]
        named = None if self.guide is None else self._find(self.guide, "--guide")
        pairs: list[tuple[Part, Part | None]] = []
        for number, source in enumerate(sources):
            guide = named or self._guide_of(number, source)
            if guide is not None and guide.track["track_id"] == source.track["track_id"]:
                raise UserError(
                    "the guide is the source itself: both have the same sound",
                    where=f"recipe {self.recipe}: {guide.track['path']}",
                    remedy="name another song as the guide: --guide FILE_OR_TRACK",
                )
            is_fixed = self.start_s is not None
            source_part = self._part(source, self._settings.start_s, is_fixed=is_fixed)
            if guide is None:
                pairs.append((source_part, None))
                continue
            guide_start_s = getattr(self._settings, "guide_start_s", 0.0)
            pairs.append((source_part, self._part(guide, guide_start_s, is_fixed=False)))
        return pairs

    @cached_property
    def spec(self) -> Spec:
        """The spec of the requested sounds."""
        songs, parts = [], []
        for source, guide in self.pairs:
            pair = {"source": source} | ({} if guide is None else {"guide": guide})
            songs.append(
                {role: {"excerpt": str(part.spec.reference), **part.labels}
                 for role, part in pair.items()}
            )  # fmt: skip
            parts.append([[role, *part_of(part.spec.config)] for role, part in pair.items()])
        own = self._plan
        config = {key: value for key, value in own.config.items() if key not in _NAMED_SONGS}
        inputs = [r for r in own.inputs if not (DATASETS.owns(r) or TRACKS.owns(r))]
        inputs += sorted({part.spec.reference for part in self._parts()})
        config |= {SONGS: songs, GENERATOR: [own.asset, own.stage]}
        name = f"{self.recipe}.{digest_of(parts)}"
        return REQUESTED_SOUNDS.spec(name, tuple(inputs), config, own.seed)

    def produce(self) -> tuple[Artifact, bool]:
        """Write the excerpts, then the sounds. Returns the sounds, and whether they are new.

        Raises:
            ArtifactCorrupt: the sounds are there already, but not as recorded.
        """
        store, spec = self.context.store, self.spec
        for part in self._parts():
            if part.song.is_outside:
                remember_place(store.home, part.song.sha256, part.song.file)
            store.produce(part.spec, partial(write_cut, cut=part.cut))

        def write(work: Work) -> None:
            write_requested_sounds(store, work)
            note_threads(work)

        artifact, is_new = store.produce(spec, write)
        if not is_new and (problems := store.verify(artifact)):
            raise ArtifactCorrupt(
                f"the sounds were generated before, and are damaged: {problems[0]}",
                where=str(artifact.location),
                remedy="remove this folder, and give the same command again",
            )
        return artifact, is_new

    def check(self) -> None:
        """Check the recipe and the options, before any file is read.

        Raises:
            UserError: an option is wrong, or the model of the recipe is not trained.
        """
        recipe = self._shipped
        check_model(self.context, self.recipe)
        if self.guide is not None and not recipe.takes_guide:
            guided = [n for n, r in self.context.specs.recipes.items() if r.takes_guide]
            raise UserError(
                "the recipe uses no guide song",
                where=f"recipe {self.recipe}: --guide",
                remedy="leave --guide out, or use a recipe that has one: "
                + (", ".join(sorted(guided)) or "(there is none)"),
            )
        if self.source is not None and self.stage.composes:
            raise UserError(
                "the recipe composes from noise, and takes no source",
                where=f"recipe {self.recipe}: --source",
                remedy="leave --source out, or use a recipe that edits recordings",
            )
        if self.start_s is not None and not 0 <= self.start_s <= LATEST_START_S:
            raise UserError(
                f"an excerpt cannot start at {self.start_s} s",
                where="--start",
                remedy="give the seconds from the start of the recording, from 0 to its length",
            )
        if self.seconds is not None and not 0 < self.seconds <= LONGEST_S:
            raise UserError(
                f"an excerpt cannot be {self.seconds} s long",
                where="--seconds",
                remedy=f"give a length above 0 and of at most {LONGEST_S:g} s",
            )

    @property
    def _shipped(self) -> Recipe:
        return self.context.specs.recipes[self.recipe]

    @cached_property
    def _settings(self) -> Recipe:
        """The recipe with the options of the request."""
        update: dict[str, Any] = {}
        if self.start_s is not None:
            update["start_s"] = self.start_s
        if self.seconds is not None:
            update["excerpt_s"] = self.seconds
        if self.source is not None:
            update |= {"path": None, "paths": (IN_THE_REQUEST,)}
        if self.guide is not None:
            update |= {"guide": IN_THE_REQUEST, "guide_label": None}
        return self._shipped.model_copy(update=update)

    @cached_property
    def _plan(self) -> Spec:
        """What the generator would make of the recipe with these settings."""
        specs = self.context.specs
        recipes = {**specs.recipes, self.recipe: self._settings}
        context = replace(self.context, specs=specs.model_copy(update={"recipes": recipes}))
        return self.stage.plan(context, self.recipe)

    @cached_property
    def _selection(self) -> Selection:
        return Selection(self.context.store, self._plan)

    def _find(self, text: str, option: str) -> NamedSong:
        return find_song(self.context, text, option)

    def _sources(self) -> list[NamedSong]:
        """The sources of the recipe."""
        return [song_of_track(self.context, row) for row in self._selection.tracks.to_dicts()]

    def _guide_of(self, number: int, source: NamedSong) -> NamedSong | None:
        """The guide that the recipe has for a source."""
        if not any(map(DATASETS.owns, self._plan.inputs)):
            return None
        row = self._selection.guide_of(number, {**source.track, **self._labels(source)})
        return None if row is None else song_of_track(self.context, row)

    def _part(self, song: NamedSong, start_s: float, *, is_fixed: bool) -> Part:
        """The decoded part of a song. A start that is not fixed is moved into a short recording."""
        seconds, where = self._settings.excerpt_s, song.where
        with song.local(self.context.home) as path:
            if not is_fixed and song.seconds is not None:
                start_s = min(start_s, max(0.0, song.seconds - 1.0))
            return Part(
                song, cut_recording(path, start_s, seconds, where=where), self._labels(song)
            )

    def _labels(self, song: NamedSong) -> dict[str, Any]:
        """What the dataset of the recipe knows of a song."""
        labels: dict[str, Any] = dict.fromkeys(("label", "group", "split"))
        snapshots = [reference for reference in self._plan.inputs if DATASETS.owns(reference)]
        for reference in snapshots:
            table = Snapshot.at(self.context.store, reference).table()
            for row in table.filter(table["track_id"] == song.track["track_id"]).to_dicts():
                labels = {key: row.get(key) for key in labels}
        return labels

    def _parts(self) -> Iterator[Part]:
        for pair in self.pairs:
            yield from (part for part in pair if part is not None)


def check_model(context: Context, name: str) -> None:
    """Check that the network of a recipe is trained.

    Raises:
        UserError: it is not; the message has the command that trains it.
    """
    recipe, store = context.specs.recipes[name], context.store
    if recipe.experiment is not None:
        needed, stage, kind = recipe.experiment, TRAINED_MODELS, "model of the experiment"
    elif recipe.generative_model is not None:
        needed, stage, kind = recipe.generative_model, GENERATIVE_MODELS, "generative model"
    else:
        return
    if store.current(stage.name, needed) is not None:
        return
    raise UserError(
        f"the recipe uses the {kind} {needed}, which is not trained yet",
        where=f"recipe {name}",
        remedy=f"train it: melgraph run --experiment {needed} "
        f"--home {quote(str(context.home.root))}",
    )


def cautions_of(pairs: Sequence[tuple[Part, Part | None]]) -> list[str]:
    """What a person may want to know of the recordings, a sentence each."""
    parts = [part for pair in pairs for part in pair if part is not None]
    return [f"{part.song.track['path']}: {text}" for part in parts for text in part.cut.cautions]
