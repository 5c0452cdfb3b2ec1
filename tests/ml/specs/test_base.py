"""What the versions of artifacts hash of a specification, today and after a key was added."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, ValidationError

from melgraph.ml.specs import KINDS, load_specs
from melgraph.ml.specs.base import TomlSpec, TomlTable, later_key
from melgraph.ml.specs.study import arm_recipe, trial_of
from melgraph.storage.records import canonical_json

DUMPS = json.loads(Path(__file__).with_name("dumps.json").read_text(encoding="utf-8"))
"""Of every shipped TOML file, and of every trial of the shipped studies, as of release 0.1."""
SPECS = load_specs()
FIRST_SPECS = [(kind, name) for kind in KINDS for name in DUMPS.get(kind, ())]


@pytest.mark.parametrize(("kind", "name"), FIRST_SPECS)
def test_the_values_that_versions_hash_are_those_of_the_first_release(kind, name):
    spec, expected = getattr(SPECS, kind)[name], DUMPS[kind][name]
    assert spec.dump_for_version(mode="json") == expected
    assert canonical_json(spec.dump_for_version()) == canonical_json(expected)
    without_title = {key: value for key, value in expected.items() if key != "title"}
    assert spec.dump_for_version(mode="json", exclude={"title"}) == without_title


@pytest.mark.parametrize("name", DUMPS["studies"])
def test_the_trials_of_studies_are_those_of_the_first_release(name):
    study = SPECS.studies[name]
    trials = {}
    for arm_name, arm in study.arms.items():
        base = SPECS.experiments[arm.experiment or study.experiment].dump_for_version()
        trial = trial_of(study, arm, arm_recipe(study, arm, base))
        trials[arm_name] = trial.dump_for_version(mode="json")
    assert trials == DUMPS["trials"][name]


class Inner(TomlTable):
    size: int = 3
    colour: str = later_key("red", since="0.2", description="colour of it")


class Before(TomlSpec):
    inner: dict[str, int] = Field(default_factory=lambda: {"size": 3})
    by_name: dict[str, dict[str, int]] = Field(default_factory=dict)
    several: tuple[dict[str, int], ...] = ()


class After(TomlSpec):
    inner: Inner = Inner()
    by_name: dict[str, Inner] = Field(default_factory=dict)
    several: tuple[Inner, ...] = ()
    speed: float = later_key(1.0, since="0.2", description="speed of it", gt=0)
    extra: Inner = later_key(Inner(), since="0.3", description="a whole table")
    ears: list[int] | None = later_key(None, since="0.3", description="none by default")


TABLE: dict[str, Any] = {
    "title": "t",
    "by_name": {"a": {"size": 1}},
    "several": ({"size": 1}, {"size": 2}),
}


@pytest.mark.parametrize("mode", ["json", "python"])
def test_a_later_key_is_left_out_while_it_has_its_default(mode):
    before, after = Before.model_validate(TABLE), After.model_validate(TABLE)
    assert after.dump_for_version(mode=mode) == before.model_dump(mode=mode)
    written_out = After.model_validate(
        TABLE | {"speed": 1.0, "inner": {"colour": "red"}, "extra": {}, "ears": None}
    )
    assert written_out.dump_for_version(mode=mode) == before.model_dump(mode=mode)
    assert After.model_validate(after.dump_for_version(mode=mode)) == after


def test_a_later_key_with_another_value_is_there():
    changes = {
        "inner": {"colour": "blue"},
        "by_name": {"a": {"colour": "green"}, "b": {}},
        "several": ({"colour": "grey"},),
        "speed": 2.0,
        "extra": {"size": 4},
        "ears": [1],
    }
    after = After.model_validate({"title": "t"} | changes)
    assert after.dump_for_version() == {
        "title": "t",
        "inner": {"size": 3, "colour": "blue"},
        "by_name": {"a": {"size": 3, "colour": "green"}, "b": {"size": 3}},
        "several": ({"size": 3, "colour": "grey"},),
        "speed": 2.0,
        "extra": {"size": 4},
        "ears": [1],
    }
    assert After.model_validate(after.dump_for_version()) == after


def test_a_key_that_is_excluded_may_have_later_keys_in_it():
    after = After.model_validate(TABLE)
    assert after.dump_for_version(exclude={"inner", "speed", "title"}) == {
        "by_name": {"a": {"size": 1}},
        "several": ({"size": 1}, {"size": 2}),
    }


def test_a_later_key_is_validated_and_described():
    with pytest.raises(ValidationError, match="greater than 0"):
        After(title="t", speed=0.0)
    assert After.model_fields["speed"].description == "speed of it"
    assert After(title="t").model_dump()["speed"] == 1.0
