"""Reads the TOML files: datasets, experiments, generative models, taggers, encoders and so on.

The shipped files lie in `ml/specs`, in a folder for each kind. A user's own files, in folders of
the same names below another root, are added to them, and replace shipped files of the same name. A
file may say `extends = "other"` and set only what differs. `encoders.toml`, beside these folders,
may list the encoders in service. One error reports all problems of all files.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, TypeAdapter, ValidationError

from melgraph.ml.errors import UserError
from melgraph.ml.specs import study as study_spec
from melgraph.ml.specs.base import merge_tables, problems_of
from melgraph.ml.specs.dataset import DatasetSpec, contradictions
from melgraph.ml.specs.encoder import (
    FILE,
    EncoderSpec,
    TaggerSpec,
    fusion_problems,
    in_service,
)
from melgraph.ml.specs.experiment import ExperimentSpec as ExperimentSpec
from melgraph.ml.specs.generative_model import GenerativeModelSpec, GenerativeSpec
from melgraph.ml.specs.model_input import FEATURE_SETS, VECTORS
from melgraph.ml.specs.recipe import RecipeSpec
from melgraph.ml.specs.study import StudySpec

SHIPPED = Path(__file__).parent
T = TypeVar("T")
KINDS: dict[str, TypeAdapter[Any]] = {
    "datasets": TypeAdapter(DatasetSpec),
    "experiments": TypeAdapter(ExperimentSpec),
    "generative_models": TypeAdapter(GenerativeModelSpec),
    "taggers": TypeAdapter(TaggerSpec),
    "encoders": TypeAdapter(EncoderSpec),
    "recipes": TypeAdapter(RecipeSpec),
    "studies": TypeAdapter(StudySpec),
}
"""Folder of the TOML files -> what validates one of them."""
_UNION_KEYS = {
    "recipes": "method",
    "generative_models": "kind",
}  # the key by which a file of the kind chooses its class
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*\Z")  # names partitions, folders and models
_Tables = dict[str, dict[str, tuple[Path, dict[str, Any]]]]
"""Kind -> name -> the file, and its table with what it extends; an invalid file has {}."""


class _ByName(dict[str, T]):
    """The specifications of one kind. A name that is missing raises a UserError."""

    def __missing__(self, name: str) -> T:
        raise UserError(
            f"no TOML file has the name {name!r}",
            where="the specs of the home",
            remedy=f"restore {name}.toml; these names exist: {', '.join(sorted(self)) or 'none'}",
        )


_Named = Annotated[dict[str, T], AfterValidator(_ByName)]


class Specs(BaseModel):
    """All specifications, by kind and name. A name that is missing raises a UserError."""

    datasets: _Named[DatasetSpec]
    experiments: _Named[ExperimentSpec]
    generative_models: _Named[GenerativeModelSpec]
    taggers: _Named[TaggerSpec]
    encoders: _Named[EncoderSpec]
    recipes: _Named[RecipeSpec]
    studies: _Named[StudySpec]
    in_service: list[str]  # names of encoders

    @property
    def trainings(self) -> dict[str, ExperimentSpec | GenerativeSpec]:
        """Everything that `--experiment NAME` trains: experiments and generative models."""
        return {**self.experiments, **self.generative_models}


def load_specs(*roots: Path) -> Specs:
    """The shipped specifications and those below `roots`, checked against each other.

    Raises:
        UserError: at least one file is not valid. The message has every problem of every file,
            with the file and the key.
    """
    specs: dict[str, dict[str, Any]] = {}
    tables: _Tables = {}
    problems: list[str] = []
    for kind in KINDS:
        specs[kind], tables[kind] = _load_kind(kind, (SHIPPED, *roots), problems)
    _check_names(tables, specs, problems)
    _check_contradictions(tables, specs, problems)
    names_in_service = _in_service(roots, specs["encoders"], problems)
    if problems:
        raise UserError(
            f"{len(problems)} problem(s) in the TOML files:\n"
            + "\n".join(f"  - {problem}" for problem in problems),
            where="the files named above",
            remedy="correct them; ml/README.md lists every key",
        )
    return Specs(**{kind: specs[kind] for kind in KINDS}, in_service=names_in_service)


def choose(specs: Mapping[str, T], names: Sequence[str], *, kind: str, where: str) -> list[str]:
    """`names`, if each of them exists.

    Args:
        specs: by name.
        names: the names to check.
        kind: what is named, for the message: "experiment".
        where: where the names were given, for the message: "--experiment".

    Raises:
        UserError: one does not exist; the message lists those that do.
    """
    for name in names:
        if name not in specs:
            raise UserError(
                f"unknown {kind} {name!r}",
                where=where,
                remedy=f"choose one of: {', '.join(sorted(specs))}; or add {name}.toml",
            )
    return list(names)


def _load_kind(
    kind: str, roots: Sequence[Path], problems: list[str]
) -> tuple[dict[str, Any], dict[str, tuple[Path, dict[str, Any]]]]:
    """The valid specifications of a kind, and the tables of all its files, valid or not."""
    raw, unreadable = _read(kind, roots, problems)
    specs: dict[str, Any] = {}
    tables: dict[str, tuple[Path, dict[str, Any]]] = {name: (SHIPPED, {}) for name in unreadable}
    for name, (path, _) in sorted(raw.items()):
        table = _extend(name, raw, unreadable, problems)
        tables[name] = (path, table or {})
        if table is None:
            continue
        try:
            specs[name] = KINDS[kind].validate_python(table)
        except ValidationError as error:
            of_file = problems_of(error, union_key=_UNION_KEYS.get(kind))
            problems += [f"{path}: {problem}" for problem in of_file]
    return specs, tables


def _read(
    kind: str, roots: Sequence[Path], problems: list[str]
) -> tuple[dict[str, tuple[Path, dict[str, Any]]], set[str]]:
    """The TOML file of each name, of the last root that has one; and the names of unreadable files.

    A name that one root has readable and another unreadable is in both results.
    """
    raw: dict[str, tuple[Path, dict[str, Any]]] = {}
    unreadable = set()
    for root in roots:
        for path in sorted((root / kind).glob("*.toml")):
            if not _NAME.match(path.stem):
                rule = (
                    "the name must be of lower-case letters, digits, '.', '_' and '-', and begin "
                    "with a letter or digit"
                )
                problems.append(f"{path}: {rule} (got {path.stem!r})")
                unreadable.add(path.stem)
                continue
            if not path.is_file():  # a pipe would be read for ever
                problems.append(f"{path}: not a file")
                unreadable.add(path.stem)
                continue
            try:
                raw[path.stem] = (path, tomllib.loads(path.read_text(encoding="utf-8-sig")))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
                problems.append(f"{path}: not readable as TOML: {error}")
                unreadable.add(path.stem)
    return raw, unreadable


def _extend(
    name: str,
    raw: Mapping[str, tuple[Path, dict[str, Any]]],
    unreadable: set[str],
    problems: list[str],
    extended_by: tuple[str, ...] = (),
) -> dict[str, Any] | None:
    """The table of a file on top of what it extends; None where that cannot be had."""
    path, body = raw[name]
    base_name = body.get("extends")
    if base_name is None:
        return body
    if not isinstance(base_name, str):
        problems.append(f"{path}: extends: must be one name (got {base_name!r})")
        return None
    if base_name not in raw or base_name in (*extended_by, name):
        reason = "extends itself" if base_name in raw else f"{base_name!r} does not exist"
        problem = f"{path}: extends: {reason}"
        # An unreadable base has been reported already, and so has a cycle that several files share.
        if base_name not in unreadable and problem not in problems:
            problems.append(problem)
        return None
    base = _extend(base_name, raw, unreadable, problems, (*extended_by, name))
    override = {key: value for key, value in body.items() if key != "extends"}
    return None if base is None else merge_tables(base, override)


def _check_names(
    tables: _Tables, specs: Mapping[str, Mapping[str, Any]], problems: list[str]
) -> None:
    """Checks that every file that names another names one that exists.

    The other file may be invalid: that is reported for the file itself. So are values that are no
    names.
    """
    for kind, key, target in (
        ("experiments", "dataset", "datasets"),
        ("generative_models", "dataset", "datasets"),
        ("generative_models", "embedding", "taggers"),
        ("recipes", "model", "generative_models"),
        ("encoders", "dataset", "datasets"),
        ("encoders", "experiment", "experiments"),
        ("encoders", "tagger", "taggers"),
        ("recipes", "experiment", "experiments"),
        ("recipes", "dataset", "datasets"),
        ("experiments", "fallback_for", "experiments"),
        ("studies", "experiment", "experiments"),
        ("studies", "dataset", "datasets"),
    ):
        for path, table in tables[kind].values():
            value = table.get(key)
            is_needed = kind == "encoders" and key != "dataset" and table.get("kind") == key
            if value is None and is_needed:
                problems.append(f"{path}: {key}: an encoder of this kind must name one")
            elif isinstance(value, str) and value not in tables[target]:
                choices = ", ".join(sorted(specs[target])) or "(none)"
                problems.append(f"{path}: {key}: {value!r} is not one of the {target}: {choices}")


def _check_contradictions(
    tables: _Tables, specs: Mapping[str, Mapping[str, Any]], problems: list[str]
) -> None:
    """Checks keys that belong together, in one file or in several."""
    _check_vectors(tables, specs, problems)
    problems += [
        f"{path}: an experiment has the same name, and --experiment must name one of them"
        for name, (path, _) in tables["generative_models"].items()
        if name in tables["experiments"]
    ]
    problems += _wrong_models(tables, specs)
    for name, (path, table) in tables["encoders"].items():
        of_fusion = fusion_problems(name, table, specs["encoders"], tables["encoders"])
        problems += [f"{path}: {problem}" for problem in of_fusion]
    for path, table in tables["datasets"].values():
        problems += [f"{path}: {problem}" for problem in contradictions(table)]
    for path, table in tables["studies"].values():
        of_study = study_spec.contradictions(table, specs["experiments"], tables["experiments"])
        problems += [f"{path}: {problem}" for problem in of_study]


def _wrong_models(tables: _Tables, specs: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Recipes whose generative model is of another kind, or does not know the genre."""
    for name, recipe in specs["recipes"].items():
        model = specs["generative_models"].get(recipe.generative_model or "")
        if model is None:  # the recipe has none, or the missing name is reported already
            continue
        path, _ = tables["recipes"][name]
        if model.kind != recipe.kind:
            yield (
                f"{path}: model: {recipe.model!r} is of the kind {model.kind!r}, and "
                f"{recipe.method!r} needs one of the kind {recipe.kind!r}"
            )
            continue
        for key in ("towards", "genre"):
            genre = getattr(recipe, key, None)
            if genre is not None and model.genres and genre not in model.genres:
                yield (
                    f"{path}: {key}: {genre!r} is not one of the genres of {recipe.model!r}: "
                    f"{', '.join(model.genres)}"
                )


def _check_vectors(
    tables: _Tables, specs: Mapping[str, Mapping[str, Any]], problems: list[str]
) -> None:
    """Checks the sources of vectors, and that no encoder is an experiment on vectors."""
    for name, (path, _) in tables["experiments"].items():
        if name in specs["experiments"]:
            of_input = specs["experiments"][name].input
            problems += [
                f"{path}: input.sources: {tagger!r} is no feature set ({', '.join(FEATURE_SETS)}) "
                f"and not one of the taggers: {', '.join(sorted(specs['taggers']))}"
                for tagger in of_input.taggers
                if tagger not in tables["taggers"]
            ]
    for name, (path, _) in tables["encoders"].items():
        named = specs["encoders"][name].experiment if name in specs["encoders"] else None
        experiment = specs["experiments"].get(named or "")
        if experiment is not None and experiment.input.representation == VECTORS:
            problems.append(
                f"{path}: experiment: {named!r} takes the vectors of taggers; name "
                "one of these taggers as the encoder"
            )


def _in_service(
    roots: Sequence[Path], encoders: Mapping[str, EncoderSpec], problems: list[str]
) -> list[str]:
    """The names of the encoders in service, by the last root that has a file of them."""
    path = next((root / FILE for root in reversed(roots) if (root / FILE).is_file()), None)
    table = None
    if path is not None:
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            problems.append(f"{path}: not readable as TOML: {error}")
    names, of_file = in_service(table, encoders)
    problems += [f"{path}: {problem}" for problem in of_file]
    return names
