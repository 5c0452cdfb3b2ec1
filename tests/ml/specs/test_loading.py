import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from melgraph.ml import models
from melgraph.ml.errors import UserError
from melgraph.ml.specs import KINDS, SHIPPED, Specs, choose, load_specs

README = (SHIPPED.parent / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def home(tmp_path: Path):
    """Write user specs: `home({"datasets/mine": 'title = "x"'})` gives their root."""

    def write(files: dict[str, str], root: Path = tmp_path / "home") -> Path:
        for name, body in files.items():
            path = root / f"{name}.toml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(body, encoding="utf-8")
        return root

    return write


def problems_of(*roots: Path) -> list[str]:
    """The lines of the error, one for each problem."""
    with pytest.raises(UserError) as caught:
        load_specs(*roots)
    lines = caught.value.what.splitlines()
    assert int(lines[0].split()[0]) == len(lines) - 1
    assert "ml/README.md" in caught.value.remedy
    return [line.removeprefix("  - ") for line in lines[1:]]


SHAPES = {  # of 3 s
    "mel_spectrograms": models.InputShape(1, 128, 129),
    "mfcc": models.InputShape(1, 20, 129),
    "stft_spectrograms": models.InputShape(1, 1025, 258),
    "waveforms": models.InputShape(1, 1, 59049),
    "waveforms_32k": models.InputShape(1, 1, 96000),
    "audio_features": models.InputShape(1, 57, 1),
    "vectors": models.InputShape(1, 584, 1),
}
EXPERIMENT = 'title = "e"\ndataset = "genres"\nmodel.architecture = "small_cnn"\n'


class TestShipped:
    def test_every_file_is_loaded(self):
        specs = load_specs()
        for kind in KINDS:
            files = {path.stem for path in (SHIPPED / kind).glob("*.toml")}
            assert getattr(specs, kind).keys() == files
            assert files

    def test_architectures_and_their_options_exist(self):
        for spec in load_specs().experiments.values():
            shape = SHAPES[spec.input.representation]
            model = models.build(spec.model.architecture, shape, n_classes=2, **spec.model.options)
            assert model.architecture == spec.model.architecture

    def test_a_home_without_specs_changes_nothing(self, tmp_path):
        assert load_specs(tmp_path, tmp_path / "nowhere") == load_specs()


class TestUserSpecs:
    def test_join_the_shipped_ones_and_win_by_name(self, home):
        root = home(
            {
                "datasets/genres": 'title = "mine"\nseed = 7',
                "datasets/tagged": 'title = "tags"\nlabels = "tag"',
            }
        )
        specs = load_specs(root)
        assert (specs.datasets["genres"].title, specs.datasets["genres"].seed) == ("mine", 7)
        assert specs.datasets["tagged"].labels == "tag"
        assert specs.experiments == load_specs().experiments

    def test_the_last_root_wins(self, home, tmp_path):
        roots = [
            home({"datasets/genres": f'title = "{name}"'}, root=tmp_path / name) for name in "ab"
        ]
        assert load_specs(*roots).datasets["genres"].title == "b"

    def test_extends_merges_tables_key_by_key(self, home):
        root = home(
            {
                "experiments/base": EXPERIMENT
                + "model.options = {dropout = 0.1}\n[training]\nepochs = 3\nbatch_size = 5\n",
                "experiments/longer": 'extends = "base"\nseed = 4\n[training]\nepochs = 9\n',
                "experiments/wide": 'extends = "longer"\ntitle = "wide"\n'
                "[model.options]\nchannels = [8, 16]\n",
            }
        )
        experiments = load_specs(root).experiments
        assert experiments["longer"].title == "e"
        wide = experiments["wide"]
        assert (wide.title, wide.seed, wide.dataset) == ("wide", 4, "genres")
        assert (wide.training.epochs, wide.training.batch_size) == (9, 5)
        assert wide.model.options == {"dropout": 0.1, "channels": [8, 16]}
        assert experiments["base"].training.epochs == 3

    def test_a_shipped_spec_can_be_extended(self, home):
        root = home({"experiments/short": 'extends = "small-cnn"\ntraining = {epochs = 1}'})
        short, shipped = (load_specs(root).experiments[name] for name in ("short", "small-cnn"))
        assert short.training.epochs == 1
        assert short.model == shipped.model

    def test_a_user_spec_becomes_the_base_of_shipped_names(self, home):
        root = home(
            {
                "datasets/genres": 'title = "mine"\nseed = 7',
                "datasets/leaky": 'extends = "genres"\nsplit = "leaky"',
            }
        )
        assert load_specs(root).datasets["leaky"].seed == 7


class TestProblems:
    def test_all_of_all_files_at_once_each_with_file_and_key(self, home):
        root = home(
            {
                "datasets/broken": "title = ",
                "datasets/typo": 'title = "x"\nlable = "tag"\nseed = "many"',
                "datasets/shares": 'title = "x"\ntrain = 0.9',
                "experiments/nowhere": EXPERIMENT.replace("genres", "jazz"),
                "experiments/nothing": "[training]\nepochs = 0\npace = 1",
                "encoders/lost": 'title = "x"\nkind = "experiment"\ndataset = "jazz"',
                "recipes/idle": 'title = "x"\nexperiment = "gone"\ndream = {steps = -1}',
                "recipes/magic": 'title = "x"\nexperiment = "gone"\nmethod = "magic"',
            }
        )
        problems = problems_of(root)
        expected = [
            ("datasets/broken", "not readable as TOML: Invalid value"),
            ("datasets/typo", r"lable: Extra inputs are not permitted \(got 'tag'\)"),
            ("datasets/typo", r"seed: .*valid integer.* \(got 'many'\)"),
            ("datasets/shares", r"train \+ validation \+ test must be 1 \(got 1.3\)"),
            ("experiments/nowhere", r"dataset: 'jazz' is not one of the datasets: genres"),
            ("experiments/nothing", "title: Field required"),
            ("experiments/nothing", "dataset: Field required"),
            ("experiments/nothing", "model: Field required"),
            ("experiments/nothing", r"training\.epochs: .*greater than or equal to 1 \(got 0\)"),
            ("experiments/nothing", r"training\.pace: Extra inputs"),
            ("encoders/lost", "dataset: 'jazz' is not one of the datasets"),
            ("encoders/lost", "experiment: an encoder of this kind must name one"),
            ("recipes/idle", r"dream\.steps: .*greater than or equal to 0 \(got -1\)"),
            ("recipes/idle", "experiment: 'gone' is not one of the experiments"),
            (
                "recipes/magic",
                r"method: must be one of the methods: .*deep_dream.* \(got 'magic'\)",
            ),
            ("recipes/magic", "experiment: 'gone' is not one of the experiments"),
        ]
        for name, message in expected:
            line = re.escape(f"{root / name}.toml: ") + message
            assert [problem for problem in problems if re.match(line, problem)], (
                name,
                message,
                problems,
            )
        assert len(problems) == len(expected)

    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            ("recipes", 'title = "x"\nexperiment = "gone"'),
            ("encoders", 'title = "x"\nkind = "experiment"\nexperiment = "gone"'),
        ],
    )
    def test_an_experiment_that_does_not_exist(self, home, kind, body):
        (problem,) = problems_of(home({f"{kind}/x": body}))
        assert (
            "x.toml: experiment: 'gone' is not one of the experiments: conv-lstm, dense" in problem
        )

    def test_a_file_that_names_a_broken_one_is_not_reported(self, home):
        root = home({"datasets/bad": "labels = 3", "experiments/x": EXPERIMENT})
        root = home({"experiments/y": EXPERIMENT.replace("genres", "bad")}, root)
        assert all(problem.startswith(str(root / "datasets/bad")) for problem in problems_of(root))

    @pytest.mark.parametrize("shares", [(0.6, 0.2, 0.1), (0.6, 0.3, 0.2)])
    def test_fractions_sum_to_one(self, home, shares):
        body = 'title = "x"\ntrain = {}\nvalidation = {}\ntest = {}'.format(*shares)
        (problem,) = problems_of(home({"datasets/x": body}))
        assert f"train + validation + test must be 1 (got {sum(shares):g})" in problem

    def test_a_base_that_does_not_exist(self, home):
        (problem,) = problems_of(home({"datasets/x": 'title = "x"\nextends = "gone"'}))
        assert problem.endswith("x.toml: extends: 'gone' does not exist")

    @pytest.mark.parametrize("chain", ["a", "ab", "abc"])
    def test_cycles_end(self, home, chain):
        following = chain[1:] + chain[:1]
        problems = problems_of(
            home(
                {
                    f"datasets/{name}": f'title = "x"\nextends = "{base}"'
                    for name, base in zip(chain, following, strict=True)
                }
            )
        )
        assert all(re.search(rf"[{chain}]\.toml: extends: extends itself$", p) for p in problems)

    def test_bytes_that_are_no_text(self, home):
        root = home({"datasets/x": ""})
        (root / "datasets/x.toml").write_bytes(b'title = "\xff"')
        (problem,) = problems_of(root)
        assert problem.startswith(f"{root / 'datasets/x.toml'}: not readable as TOML")

    def test_a_byte_order_mark_as_notepad_writes_it(self, home):
        root = home({"datasets/x": ""})
        (root / "datasets/x.toml").write_bytes(b'\xef\xbb\xbftitle = "x"')
        assert load_specs(root).datasets["x"].title == "x"

    def test_a_pipe_or_a_folder_is_not_read(self, home):
        root = home({"datasets/x": 'title = "x"'})
        os.mkfifo(root / "datasets/pipe.toml")
        (root / "datasets/folder.toml").mkdir()
        problems = problems_of(root)
        assert [p.endswith(".toml: not a file") for p in problems] == [True, True]


class TestChoose:
    def test_known_names_come_back_in_order(self):
        specs = {"a": 1, "b": 2}
        assert choose(specs, ["b", "a", "b"], kind="experiment", where="--x") == ["b", "a", "b"]
        assert choose(specs, [], kind="experiment", where="--x") == []

    def test_an_unknown_experiment_lists_the_known(self):
        experiments = {name: load_specs().experiments["small-cnn"] for name in ("two", "one")}
        with pytest.raises(UserError, match="unknown experiment 'three'") as caught:
            choose(experiments, ["one", "three"], kind="experiment", where="--experiment")
        assert caught.value.where == "--experiment"
        assert caught.value.remedy == "choose one of: one, two; or add three.toml"


def classes_of(kind: str) -> list[type[BaseModel]]:
    """The classes of a kind of specifications: one, or a recipe's for each method."""
    annotation = get_args(Specs.model_fields[kind].annotation)[1]
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return list(get_args(annotation)) or [annotation]


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Every key of a specification as (name, type, default), as ml/README.md writes them."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys_of(field.annotation, f"{prefix}{name}.")
            continue
        if (named := tables_by_name(field.annotation)) is not None:
            yield from keys_of(named, f"{prefix}{name}.NAME.")
            continue
        default = field.get_default(call_default_factory=True)
        if field.is_required():
            written = "required"
        elif default is None:
            written = "absent"
        else:
            written = f"`{json.dumps(default)}`"
        yield prefix + name, type_of(field.annotation), written


def tables_by_name(annotation: Any) -> type[BaseModel] | None:
    """The model of each table of a key that holds tables by name."""
    values = get_args(annotation)[1] if get_origin(annotation) is dict else None
    return values if isinstance(values, type) and issubclass(values, BaseModel) else None


def type_of(annotation: Any) -> str:
    """A type as a reader of TOML calls it."""
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in get_args(annotation))
    if get_origin(annotation) is Annotated:
        return type_of(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        kinds = [type_of(part) for part in get_args(annotation) if part is not type(None)]
        return " or ".join(dict.fromkeys(kinds))
    if get_origin(annotation) in (list, tuple):
        return f"list of {type_of(get_args(annotation)[0])}"
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    if get_origin(annotation) is dict or is_model:
        return "table"
    return {str: "string", int: "integer", float: "number", bool: "boolean"}[annotation]


@pytest.mark.parametrize("kind", KINDS)
def test_the_readme_has_every_key_with_its_type_and_default(kind):
    section = README.split(f"\n### `{kind}/*.toml`", 1)[1].split("\n### ", 1)[0].split("\n## ")[0]
    rows = re.findall(r"^\| `([\w.]+)` \| (.+?) \| (.+?) \| (.+?) \|$", section, re.M)
    expected = {key for model in classes_of(kind) for key in keys_of(model)}
    assert sorted(row[:3] for row in rows) == sorted(expected)
    assert all(len(meaning.split()) >= 2 for *_, meaning in rows)


def test_a_name_without_a_file_is_refused_in_words():
    with pytest.raises(UserError, match="no TOML file has the name 'gone'") as error:
        load_specs().experiments["gone"]
    assert "restore gone.toml; these names exist: " in str(error.value)
