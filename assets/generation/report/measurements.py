"""Generated sounds and their controls, each measured as it is in its FLAC file."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.generation.models.generative_model import GenerativeModel, tracks_of_models
from melgraph.assets.generation.report.judges import Judge, Reading, networks_of
from melgraph.assets.generation.sound_files import COMPOSITION, flac_bytes
from melgraph.assets.generation.sounds import Sounds
from melgraph.assets.ui import progress_bar

SOUND, NOISE = "sound", "matched noise"
SEED = 0  # of matched noise and of random phase

Control = Callable[[np.ndarray, int], np.ndarray]


def controls() -> dict[str, Control]:
    """The controls that follow from the source alone: name -> function of samples and rate."""
    from melgraph.ml.generation import controls as module

    return {
        "identity edit": module.identity,
        "inversion alone": lambda samples, rate: module.inversion(samples, rate, SEED),
        "mp3 at 64 kbit/s": module.mp3,
        "random phase": lambda samples, rate: module.random_phase(samples, rate, SEED),
    }


@dataclass(frozen=True)
class Case:
    """A generated sound, with what a judge needs to know of its origin.

    Attributes:
        sounds: the artifact that holds it.
        row: its facts.
        group: the artist of its source, or the recordings that it is kept together with; the track
            id for a track outside the dataset.
        dataset: whose held-out tracks the sources are.
        networks: that it was made with.
        learned: the ids of the recordings that its generative model has learned from.
    """

    sounds: Sounds
    row: Mapping[str, Any]
    group: Hashable
    dataset: str
    networks: frozenset[str]
    learned: frozenset[str] = frozenset()

    @property
    def song(self) -> str:
        """The id of its source."""
        return str(self.row["track_id"])

    @property
    def guide(self) -> str | None:
        """The id of its guide; None without one."""
        guide: Mapping[str, Any] | None = self.row.get("guide")
        return None if guide is None else str(guide["track_id"])

    @property
    def origin(self) -> frozenset[str]:
        """The ids of source, guide and recordings that were learned from.

        A judge must not have been trained on their artists.
        """
        songs = {self.song} if self.guide is None else {self.song, self.guide}
        return self.learned | songs

    @property
    def target(self) -> str | None:
        """The class that it is moved towards: the guide's, or the one that the recipe names."""
        target: str | None = self.row.get("target")
        guide: Mapping[str, Any] | None = self.row.get("guide")
        return guide.get("label") if target is None and guide is not None else target

    @property
    def is_composition(self) -> bool:
        """Whether its source is only a recording beside it, for comparison."""
        return COMPOSITION in self.row

    @property
    def excerpt(self) -> tuple[Any, ...]:
        """The same for all sounds of the same excerpt."""
        return self.song, self.row.get("start_s"), self.row["seconds"]

    @property
    def original(self) -> Path:
        """The FLAC file of the source."""
        return self.sounds.file(self.row, "original")

    @property
    def path(self) -> Path:
        """The FLAC file of the sound."""
        return self.sounds.artifact.folder / self.sounds.new_file(self.row)


def cases_of(several: Sequence[Sounds]) -> list[Case]:
    """All generated sounds of several artifacts, in order."""
    cases = []
    for sounds in several:
        snapshot = Snapshot.input_of(sounds.store, sounds.spec)
        groups = dict(snapshot.table().select("track_id", "group").iter_rows())
        networks = networks_of(sounds.store, sounds.artifact)
        learned = tracks_of_models(GenerativeModel.inputs_of(sounds.store, sounds.spec))
        for row in sounds.rows:
            group = _group_of(row, groups)
            cases.append(Case(sounds, row, group, snapshot.name, networks, learned))
    return cases


def _group_of(song: Mapping[str, Any], groups: Mapping[str, Any]) -> Hashable:
    """The group of a song; a song outside of every split is a group of its own."""
    group: Hashable = groups.get(song["track_id"])
    return song["track_id"] if group is None else group


@dataclass
class Measurement:
    """A sound or a control, measured.

    Attributes:
        case: the sound; for a control of the source, the sound that it accompanies.
        kind: `sound`, or the name of the control.
        fidelity: figures beside the source, by `ml.evaluation.fidelity`.
        readings: judge -> what it reads in the file.
        before: judge -> what it reads in the source.
        is_nearer: of noise: whether none is as far from the source as the sound
            (`MatchedNoise.matches`).
    """

    case: Case
    kind: str
    fidelity: Mapping[str, Any]
    readings: dict[str, Reading] = field(default_factory=dict)
    before: dict[str, Reading] = field(default_factory=dict)
    is_nearer: bool = False


class Measurer:
    """Measures sounds and controls. What only depends on the source is measured once.

    Args:
        judges: dataset -> its judges.
        folder: for the files of the controls.
    """

    def __init__(self, judges: Mapping[str, Sequence[Judge]], folder: Path) -> None:
        self._judges, self._folder = judges, folder
        self._files: dict[tuple[Any, ...], Path] = {}
        self._fidelity: dict[Path, Mapping[str, Any]] = {}
        self._readings: dict[tuple[str, Path], Reading] = {}

    def measure(self, cases: Sequence[Case]) -> Iterator[Measurement]:
        """All sounds, each followed by its controls."""
        by_source = controls()
        with progress_bar(len(cases), "sounds", "generation report") as bar:
            for case in cases:
                yield self._measured(case, SOUND, case.path)
                noise = self._noise(case)
                if noise is not None:
                    path, matches = noise
                    yield replace(self._measured(case, NOISE, path), is_nearer=not matches)
                for kind, make in by_source.items():
                    yield self._measured(case, kind, self._control(case, kind, make))
                bar.update()

    def _measured(self, case: Case, kind: str, path: Path) -> Measurement:
        original = self._original(case)
        if path not in self._fidelity:
            self._fidelity[path] = _fidelity(original, path)
        judges = self._judges.get(case.dataset, ())
        return Measurement(
            case,
            kind,
            self._fidelity[path],
            {judge.name: self._read(judge, path) for judge in judges},
            {judge.name: self._read(judge, original) for judge in judges},
        )

    def _read(self, judge: Judge, path: Path) -> Reading:
        if (judge.name, path) not in self._readings:
            self._readings[judge.name, path] = judge.read(path)
        return self._readings[judge.name, path]

    def _original(self, case: Case) -> Path:
        """The file of the source: the first one, where several sounds have the same excerpt."""
        return self._files.setdefault(case.excerpt, case.original)

    def _control(self, case: Case, kind: str, make: Control) -> Path:
        key = (kind, case.excerpt)
        if key not in self._files:
            samples, rate = _read_flac(self._original(case))
            self._files[key] = self._write(make(samples, rate), rate)
        return self._files[key]

    def _noise(self, case: Case) -> tuple[Path, bool] | None:
        """Noise instead of the edit, and whether it is as far from the source."""
        from melgraph.ml.generation.controls import matched_noise

        source, rate = _read_flac(self._original(case))
        edited, edited_rate = _read_flac(case.path)
        noise = matched_noise(source, edited, rate, SEED) if rate == edited_rate else None
        return None if noise is None else (self._write(noise.samples, rate), noise.matches)

    def _write(self, samples: np.ndarray, rate: int) -> Path:
        path = self._folder / f"{len(list(self._folder.iterdir())):06d}.flac"
        path.write_bytes(flac_bytes(np.clip(samples, -1.0, 1.0), rate))
        return path


def _fidelity(original: Path, path: Path) -> Mapping[str, Any]:
    from dataclasses import asdict

    from melgraph.ml.evaluation.fidelity import compare

    return asdict(compare(*_read_flac(original), *_read_flac(path)))


def _read_flac(path: Path) -> tuple[np.ndarray, int]:
    """float32 `[sample, channel]`, and the rate."""
    import soundfile

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return samples, int(rate)
