"""Who becomes champion: by the rule, whatever the order, never by the test split."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melgraph.ml.evaluation.champion import RULE, Contender, choose_champion

OLD, NEW = ("a" * 32, "2026-01-01T00:00:00+00:00"), ("b" * 32, "2026-02-01T00:00:00+00:00")


def contender(version, accuracy, loss=1.0, snapshot=NEW, trained_at=None, experiment="small-cnn"):
    began = trained_at or f"2026-03-01T00:00:{version:02d}+00:00"
    return Contender(version, experiment, *snapshot, began, accuracy, loss)


@pytest.mark.parametrize(
    ("contenders", "version", "words"),
    [
        ([], None, "no model has been trained"),
        ([contender(1, 0.5)], 1, "the only training"),
        ([contender(1, 0.5), contender(2, 0.6)], 2, "the best of 2 trainings"),
        ([contender(1, 0.5, 1.0), contender(2, 0.5, 0.9)], 2, "and the lower loss decided"),
        ([contender(1, 0.5), contender(2, 0.5)], 1, "and the older training decided"),
        ([contender(1, 0.5, trained_at="2026-03-02"), contender(2, 0.5, trained_at="2026-03-01")],
         2, "the older training"),
        ([contender(1, 0.9, snapshot=OLD), contender(2, 0.4)], 2, "training on the newest"),
        ([contender(1, 0.9), contender(2, 1.0, snapshot=OLD)], 1, "training on the newest"),
        ([contender(1, 0.9, snapshot=OLD), contender(2, None, None)], None, "no validation split"),
        ([contender(1, None, None), contender(2, 0.1)], 2, "the only training"),
        ([contender(1, 0.5, None), contender(2, 0.5, 3.0)], 2, "the lower loss"),
        ([contender(1, 0.0), contender(2, None)], 1, "accuracy 0.0000"),
    ],
)  # fmt: skip
def test_the_rule(contenders, version, words):
    verdict = choose_champion(contenders)
    assert (verdict.champion.version if verdict.champion else None) == version
    assert words in verdict.reason


figures = st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0])
drawn = st.lists(
    st.tuples(figures, figures, st.sampled_from([OLD, NEW]), st.sampled_from(["1", "2"])),
    max_size=8,
).flatmap(
    lambda rows: st.permutations(
        [
            contender(number, accuracy, loss, snapshot, trained_at)
            for number, (accuracy, loss, snapshot, trained_at) in enumerate(rows, 1)
        ]
    ).map(lambda shuffled: (sorted(shuffled, key=lambda c: c.version), shuffled))
)


@given(drawn)
def test_the_order_of_arrival_does_not_matter_and_nobody_better_is_passed_over(both):
    ordered, shuffled = both
    verdict = choose_champion(ordered)
    assert choose_champion(shuffled) == verdict
    newest = [c for c in ordered if c.snapshot == NEW[0]] or ordered
    measured = [c for c in newest if c.accuracy is not None]
    assert (verdict.champion is None) == (not measured)
    if verdict.champion is not None:
        champion = verdict.champion
        assert champion in measured
        assert champion.accuracy == max(c.accuracy for c in measured)
        equals = [c for c in measured if c.accuracy == champion.accuracy]
        losses = [c.loss for c in equals if c.loss is not None]
        assert champion.loss == (min(losses) if losses else None)
        assert str(champion.version) in verdict.reason


def test_of_tags_the_area_decides_and_is_named():
    first, second = (
        replace(contender(number, area), measure="macro PR-AUC")
        for number, area in ((1, 0.2), (2, 0.3))
    )
    assert choose_champion([first, second]).champion == second
    assert "validation macro PR-AUC 0.3000" in choose_champion([first, second]).reason
    equal = replace(second, accuracy=0.2, loss=0.5)
    assert "version 1 has the same macro PR-AUC" in choose_champion([first, equal]).reason
    assert "macro PR-AUC" in RULE


def test_the_test_split_cannot_decide():
    """The rule has no argument that was measured on the test split."""
    assert "never the test split" in RULE
    assert not [f.name for f in fields(Contender) if "test" in f.name]
