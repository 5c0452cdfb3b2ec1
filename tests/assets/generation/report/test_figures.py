from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from melgraph.assets.generation.report.figures import (
    NO_SONGS_LEFT,
    OWN,
    SAME_ARTIST,
    UNKNOWN,
    Verdicts,
    recipe_summary,
    sound_rows,
)
from melgraph.assets.generation.report.judges import Judge, Reading
from melgraph.assets.generation.report.measurements import NOISE, SOUND, Case, Measurement
from melgraph.assets.generation.report.sets import HALVES, ORIGINALS, set_distances
from melgraph.assets.generation.report.tables import (
    absent_judges,
    fad_cell,
    judge_cell,
    kad_cell,
    overview_rows,
    set_rows,
    table_rows,
)

FIDELITY = {
    "chroma_correlation": 0.9, "onset_correlation": 0.8, "log_spectral_distance_db": 3.0,
    "clipping_share": 0.0, "silence_share": 0.0, "loudness_difference_lu": -1.0,
    "loudness_lufs": -16.0, "true_peak_db": -1.0, "octave_difference_db": (0.0,) * 9 + (None,),
}  # fmt: skip


@dataclass
class FakeJudge:
    """What the figures ask of a judge."""

    name: str = "judge"
    tagger: str | None = None
    networks: frozenset[str] = frozenset({"experiment judge"})
    training_groups: frozenset[Any] = frozenset()
    few: list[str] = field(default_factory=list)
    classes: tuple[str, ...] = ("pop", "rock")
    songs: Any = None
    cross_fitted: Any = None
    groups: dict[str, Any] = field(default_factory=dict)

    def groups_of(self, tracks: Any) -> frozenset[Any]:
        return frozenset(self.groups.get(track, track) for track in tracks)


def case(song: str, *, target: str | None = "rock", group: Any = None) -> Case:
    reference = SimpleNamespace(asset="dreams")
    config = {"method": "deep_dream"}
    sounds = SimpleNamespace(name="recipe", title="A recipe", reference=reference,
                             spec=SimpleNamespace(config=config))  # fmt: skip
    row = {"track_id": song, "path": f"{song}.mp3", "label": "pop", "target": target}
    owner = song if group is None else group
    return Case(cast(Any, sounds), row, owner, "genres", frozenset({"experiment maker"}))


def measurement(
    one: Case, kind: str, change: float, judge: str = "judge", segments: Any = None
) -> Measurement:
    """A sound whose probability of rock goes from 0.3 to 0.3 + change."""
    before, after = np.array([0.7, 0.3]), np.array([0.7 - change, 0.3 + change])
    vector = np.array([change])
    return Measurement(one, kind, FIDELITY, {judge: Reading(after, vector, segments)},
                    {judge: Reading(before, np.zeros(1), segments)})  # fmt: skip


def judges(*fakes: FakeJudge) -> list[Judge]:
    return cast(list[Judge], list(fakes))


def sounds_and_noise(count: int, change: float, noise: float) -> list[Measurement]:
    ones = []
    for number in range(count):
        one = case(f"song {number}", group=number % 5)
        ones += [measurement(one, SOUND, change), measurement(one, NOISE, noise)]
    return ones


def test_the_target_moves_beyond_noise() -> None:
    ones = sounds_and_noise(25, 0.25, 0.05)
    verdicts = Verdicts(judges(FakeJudge()), ones)
    summary = recipe_summary("recipe", ones, verdicts)
    assert (summary["sounds"], summary["songs"], summary["artists"]) == (25, 25, 5)
    assert summary["targets"] == ["rock"]
    assert summary["verdict"].startswith("The method raises the probability of 'rock' more than")
    assert "+20.0 percentage points" in summary["verdict"]
    by_kind = {row["kind"]: row for row in summary["rows"]}
    judge = by_kind[SOUND]["judges"]["judge"]
    assert judge["target_before"]["mean"] == pytest.approx(0.3)
    assert judge["target_change"]["mean"] == pytest.approx(0.25)
    assert judge["target_change"]["songs"] == 25
    assert judge["top_changed"] == 25
    assert by_kind[NOISE]["judges"]["judge"]["top_changed"] == 0
    assert by_kind[SOUND]["octaves_db"] == {"31.5": 0.0, "63": 0.0, "125": 0.0, "250": 0.0,
                                            "500": 0.0, "1000": 0.0, "2000": 0.0, "4000": 0.0,
                                            "8000": 0.0, "16000": None}  # fmt: skip
    (first, _) = table_rows(summary | {"sets": []})
    assert first["kind"] == "sound (25)"
    assert first["judge"].startswith("target +25.0 points (")
    assert first["chroma correlation"] == "0.90 (0.90 to 0.90)"
    assert len(sound_rows(ones, {"genres": verdicts})) == 50


def test_the_overview_has_the_floor_beside_each_recipe() -> None:
    ones = sounds_and_noise(25, 0.25, 0.05)
    ones += [measurement(one.case, "identity edit", 0.0) for one in ones[::2]]
    verdicts = Verdicts(
        judges(FakeJudge(), FakeJudge("maker", networks=frozenset({"experiment maker"}))), ones
    )
    for one in ones:
        one.readings["maker"], one.before["maker"] = one.readings["judge"], one.before["judge"]
    recipes = [recipe_summary(name, ones, verdicts) | {"sets": []} for name in ("a", "b")]
    facts = {
        "recipes": recipes,
        "judges": [{"name": "judge"}, {"name": "maker"}, {"name": "other"}],
    }
    first, second, identity = overview_rows(facts)
    assert first | {"recipe or control": "b (25)"} == second
    assert first == {
        "recipe or control": "a (25)", "judge": "target +25.0 (noise +5.0)", "maker": OWN,
        "other": "-", "chroma correlation": "0.90 (noise 0.90)",
        "onset correlation": "0.80 (noise 0.80)",
        "log-spectral distance, dB": "3.00 (noise 3.00)",
        "loudness, LU re source": "-1.00 (noise -1.00)",
    }  # fmt: skip
    assert identity["recipe or control"] == "identity edit"
    assert (identity["judge"], identity["maker"]) == ("target +0.0", "-")


def test_noise_that_does_not_match_is_counted() -> None:
    ones = sounds_and_noise(2, 0.2, 0.1)
    ones[1].is_nearer = True
    summary = recipe_summary("recipe", ones, Verdicts(judges(FakeJudge()), ones)) | {"sets": []}
    kinds = [row["kind"] for row in table_rows(summary)]
    assert kinds == ["sound (2)", "matched noise (2; 1 nearer to the source)"]


def test_one_song_has_no_interval() -> None:
    ones = sounds_and_noise(1, 0.25, 0.05)
    summary = recipe_summary("recipe", ones, Verdicts(judges(FakeJudge()), ones)) | {"sets": []}
    (first, _) = table_rows(summary)
    assert (first["judge"], first["chroma correlation"]) == (
        "target +25.0 points, from 30.0 %",
        "0.90",
    )


def test_without_a_target_the_class_of_the_source_is_judged() -> None:
    one = case("song", target=None)
    ones = [measurement(one, SOUND, 0.1), measurement(one, NOISE, -0.1)]
    controls = [measurement(one, "random phase", change) for change in (0.2, 0.3)]
    recipes = [
        recipe_summary(name, [*ones, control], Verdicts(judges(FakeJudge()), ones)) | {"sets": []}
        for name, control in zip(("a", "b"), controls, strict=True)
    ]
    first, _, phase = overview_rows({"recipes": recipes, "judges": [{"name": "judge"}]})
    assert first["judge"] == "class of the source -10.0 (noise +10.0)"
    assert phase["judge"] == "class of the source -30.0 to -20.0"


def test_noise_that_does_the_same_is_no_success() -> None:
    ones = sounds_and_noise(25, 0.2, 0.2)
    summary = recipe_summary("recipe", ones, Verdicts(judges(FakeJudge()), ones))
    assert summary["verdict"].startswith("It is not shown that")


def test_a_network_does_not_judge_its_own_sounds() -> None:
    ones = sounds_and_noise(2, 0.2, 0.1)
    own = FakeJudge("maker", networks=frozenset({"experiment maker", "0a1b"}))
    for one in ones:
        one.readings["maker"], one.before["maker"] = one.readings["judge"], one.before["judge"]
    verdicts = Verdicts(judges(own), ones)
    assert verdicts.judgement(verdicts.judges[0], ones[0]) == {"refusal": OWN}
    summary = recipe_summary("recipe", ones, verdicts)
    assert summary["verdict"].startswith("Not judged")
    assert judge_cell(summary["rows"][0]["judges"]["maker"]) == OWN


def test_a_judge_does_not_judge_the_artists_that_it_was_trained_on() -> None:
    one = measurement(case("song"), SOUND, 0.2)
    champion = FakeJudge(training_groups=frozenset({7}), groups={"song": 7})
    verdicts = Verdicts(judges(champion), [one])
    assert verdicts.judgement(verdicts.judges[0], one) == {"refusal": SAME_ARTIST}


def test_a_probe_is_fitted_without_them() -> None:
    calls = []

    def probabilities(vector: np.ndarray, without: frozenset[Any]) -> np.ndarray:
        calls.append(without)
        return np.array([1 - vector[0], vector[0]])

    fitted = SimpleNamespace(probabilities=probabilities, knows=lambda number, without: True)
    one = measurement(case("song"), SOUND, 0.2)
    for probe in (
        FakeJudge(tagger="musicnn", training_groups=frozenset({7}), groups={"song": 7},
                  cross_fitted=fitted),
        FakeJudge(tagger="musicnn", few=["rock: 3 songs in 2 groups"], groups={"song": 7},
                  cross_fitted=fitted),
    ):  # fmt: skip
        calls.clear()
        verdicts = Verdicts(judges(probe), [one])
        assert verdicts.cross_fitted["judge"] is not None
        answer = verdicts.judgement(verdicts.judges[0], one)
        assert answer["target_change"] == pytest.approx(0.2)  # by the fit, not by the reading
        assert calls == [frozenset({7})] * 2


def test_a_probe_does_not_judge_a_class_of_which_only_the_same_artists_remain() -> None:
    questions = []

    def knows(number: int, without: frozenset[Any]) -> bool:
        questions.append((number, without))
        return 7 not in without

    fitted = SimpleNamespace(
        knows=knows, probabilities=lambda vector, without: np.array([1 - vector[0], vector[0]])
    )
    probe = FakeJudge(tagger="musicnn", few=["rock: 3 songs in 1 groups"], cross_fitted=fitted,
                      groups={"song": 7})  # fmt: skip
    one, other, unmoved = (
        measurement(case(song, target=target), SOUND, 0.2)
        for song, target in (("song", "rock"), ("another song", "rock"), ("song", None))
    )
    verdicts = Verdicts(judges(probe), [one, other, unmoved])
    judge = verdicts.judges[0]
    assert verdicts.judgement(judge, one) == {"refusal": NO_SONGS_LEFT}
    assert questions == [(1, frozenset({7}))]  # of rock, the second class
    assert verdicts.judgement(judge, other)["target_change"] == pytest.approx(0.2)
    assert "refusal" not in verdicts.judgement(judge, unmoved)  # no target: no class to know
    summary = recipe_summary("recipe", [one], verdicts)
    assert summary["rows"][0]["judges"]["judge"]["refusals"] == [NO_SONGS_LEFT]
    trained = Verdicts(judges(FakeJudge(tagger="musicnn", cross_fitted=fitted)), [one])
    assert trained.refusal(trained.judges[0], one) is None  # it judges as it is


def test_no_target_and_unknown_targets() -> None:
    one = measurement(case("a", target=None), SOUND, 0.5)
    other = measurement(case("b", target="jazz"), SOUND, 0.1)
    verdicts = Verdicts(judges(FakeJudge()), [one, other])
    answer = verdicts.judgement(verdicts.judges[0], one)
    assert answer == {"top_before": "pop", "top_after": "rock",
                      "top_probability_change": pytest.approx(-0.5)}  # fmt: skip
    assert verdicts.judgement(verdicts.judges[0], other)["refusal"] == UNKNOWN
    summary = recipe_summary("recipe", [one], verdicts)
    assert summary["verdict"].startswith("The method has no target")
    cell = judge_cell(summary["rows"][0]["judges"]["judge"])
    assert cell == "class of the source -50.0 points; another class in 1 of 1"


def songs(count: int, shift: float, seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    rows = [
        {"track_id": f"real {i}", "label": "rock", "group": i,
         "segments": random.standard_normal((3, 4)) + shift} for i in range(count)
    ]  # fmt: skip

    def of_class(label: str, *, without_groups: Any, without: Any) -> list[dict[str, Any]]:
        return [row for row in rows if row["group"] not in without_groups
                and row["track_id"] not in without]  # fmt: skip

    return SimpleNamespace(of_class=of_class)


def test_sets_of_sounds_are_compared_with_real_recordings() -> None:
    random = np.random.default_rng(5)
    ones = [
        measurement(case(f"song {i}"), SOUND, 0.1, segments=random.standard_normal((3, 4)) + 2)
        for i in range(12)
    ]
    probe = FakeJudge(tagger="musicnn", songs=songs(45, 0.0))
    rows = set_distances(ones, judges(probe))
    by_kind = {row["kind"]: row for row in rows}
    assert list(by_kind) == [ORIGINALS, SOUND, HALVES]
    assert by_kind[SOUND]["kad"]["value"] > 5
    assert by_kind[SOUND]["kad"]["p_value"] < 0.01
    assert by_kind[SOUND]["kad"]["n_reference"] == 45
    assert by_kind[HALVES]["kad"]["value"] < by_kind[SOUND]["kad"]["value"] / 3
    assert by_kind[HALVES]["kad"]["n_reference"] == 22
    assert by_kind[SOUND]["fad"]["generated_segments"] == 36
    assert kad_cell(by_kind[SOUND]).endswith("12 against 45 songs")
    assert "(36 against 135 segments)" in fad_cell(by_kind[SOUND])
    assert [row["sounds"] for row in set_rows({"sets": rows})] == [ORIGINALS, SOUND, HALVES]


def test_few_real_recordings_are_undetermined_and_an_own_embedding_says_nothing() -> None:
    ones = [measurement(case(f"song {i}"), SOUND, 0.1, segments=np.eye(3) + i) for i in range(3)]
    few = FakeJudge(tagger="musicnn", songs=songs(10, 0.0))
    few.songs = SimpleNamespace(
        of_class=lambda label, **_: [
            {"track_id": f"r{i}", "segments": np.eye(3) * i} for i in range(10)
        ]
    )
    (_, sound, halves) = set_distances(ones, judges(few))
    assert sound["undetermined"]
    assert kad_cell(sound) == "undetermined: 10 reference songs"
    assert kad_cell(halves) == "10 reference songs are too few for two halves"
    own = FakeJudge(tagger="musicnn", networks=frozenset({"experiment maker"}))
    assert {row["refusal"] for row in set_distances(ones, judges(own))} == {OWN}
    assert set_distances(ones, judges(FakeJudge())) == []  # no probe: no embedding


def test_one_segment_has_no_fad() -> None:
    one = measurement(case("song"), SOUND, 0.1, segments=np.zeros((1, 4)))
    rows = set_distances([one], judges(FakeJudge(tagger="musicnn", songs=songs(25, 0.0))))
    assert [fad_cell(row) for row in rows[:2]] == ["one segment only"] * 2


def test_what_is_missing_is_named() -> None:
    facts = {"judges": [{"name": "probe-mn04", "dataset": "genres", "champion": False}],
             "recipes": [{"dataset": "genres"}]}  # fmt: skip
    first, second = absent_judges(facts)
    assert first.startswith("There is no probe-musicnn. melgraph run --experiment probe-musicnn")
    assert second.startswith("The dataset 'genres' has no champion")
