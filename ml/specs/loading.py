"""Specs: the small TOML files that name a dataset, an experiment, an encoder, a recipe or a study.

The shipped ones lie in `ml/specs/datasets`, `ml/specs/experiments`, `ml/specs/taggers`,
`ml/specs/encoders`, `ml/specs/recipes` and `ml/specs/studies`; a user's own, in folders of the same
names under another root, join them and win by name. Beside these folders, `encoders.toml` may say
which encoders are in service. A spec may say `extends = "other"` and override just what differs.
All problems of all files are told at once.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from melgraph.ml.errors import UserError
from melgraph.ml.specs import study as study_spec
from melgraph.ml.specs.base import Spec
from melgraph.ml.specs.dataset import DatasetSpec, contradictions
from melgraph.ml.specs.dream import DreamConfig
from melgraph.ml.specs.encoder import FILE, EncoderSpec, TaggerSpec, in_service
from melgraph.ml.specs.experiment import ExperimentSpec as ExperimentSpec
from melgraph.ml.specs.study import StudySpec

SHIPPED = Path(__file__).parent
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*\Z")  # names partitions, folders and models
T = TypeVar("T", bound="Spec")


class RecipeSpec(Spec):
    """A generation recipe: which tracks, which network, how."""

    method: Literal["deep_dream"] = "deep_dream"
    experiment: str = Field(description="the trained experiment that dreams")
    layer: str | None = Field(None, description="layer to dream, for the objective 'layer'")
    tracks: int = Field(
        3, ge=1, le=100, description="how many held-out tracks, of different labels"
    )
    path: str | None = Field(None, description="one track by its path in the library instead")
    start_s: float = Field(0.0, ge=0, description="where the excerpt starts, seconds")
    excerpt_s: float = Field(10.0, gt=0, le=60, description="length of the excerpt, seconds")
    dream: DreamConfig = DreamConfig()
    seed: int = Field(0, ge=0)


KINDS: dict[str, type[Spec]] = {
    "datasets": DatasetSpec,
    "experiments": ExperimentSpec,
    "taggers": TaggerSpec,
    "encoders": EncoderSpec,
    "recipes": RecipeSpec,
    "studies": StudySpec,
}


class Specs(BaseModel):
    """All specs by name."""

    datasets: dict[str, DatasetSpec]
    experiments: dict[str, ExperimentSpec]
    taggers: dict[str, TaggerSpec]
    encoders: dict[str, EncoderSpec]
    recipes: dict[str, RecipeSpec]
    studies: dict[str, StudySpec]
    in_service: list[str]  # names of encoders


def load_specs(*roots: Path) -> Specs:
    """The shipped specs and those under `roots`, checked against each other.

    Raises:
        UserError: with every problem of every file, each with its file and key.
    """
    found: dict[str, dict[str, Any]] = {}
    tables: dict[str, dict[str, tuple[Path, dict[str, Any]]]] = {}
    problems: list[str] = []
    for kind, model in KINDS.items():
        raw, unreadable = _read(kind, (SHIPPED, *roots), problems)
        found[kind], tables[kind] = {}, {name: (path, {}) for name, (path, _) in raw.items()}
        tables[kind] |= {name: (SHIPPED, {}) for name in unreadable if name not in raw}
        for name, (path, _) in sorted(raw.items()):
            resolved = _extend(name, raw, unreadable, problems)
            if resolved is not None:
                tables[kind][name] = (path, resolved)
                spec = _validate(model, resolved, path, problems)
                if spec is not None:
                    found[kind][name] = spec
    _check_names(tables, found, problems)
    serving = _in_service(roots, found["encoders"], problems)
    if problems:
        raise UserError(
            f"{len(problems)} problem(s) in the TOML files:\n"
            + "\n".join(f"  - {p}" for p in problems),
            where="the files named above",
            remedy="correct them; ml/README.md lists every key",
        )
    return Specs(**{kind: found[kind] for kind in KINDS}, in_service=serving)


def _in_service(
    roots: Sequence[Path], encoders: Mapping[str, EncoderSpec], problems: list[str]
) -> list[str]:
    """What the last of the roots that has such a file says."""
    path = next((root / FILE for root in reversed(roots) if (root / FILE).is_file()), None)
    table = None
    if path is not None:
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            problems.append(f"{path}: not readable as TOML: {error}")
    names, wrong = in_service(table, encoders)
    problems += [f"{path}: {problem}" for problem in wrong]
    return names


def choose(specs: Mapping[str, T], names: Sequence[str], *, kind: str, where: str) -> list[str]:
    """`names` if each is known.

    Raises:
        UserError: one is not; the message lists the known ones.
    """
    for name in names:
        if name not in specs:
            raise UserError(
                f"unknown {kind} {name!r}",
                where=where,
                remedy=f"choose one of: {', '.join(sorted(specs))}; or add {name}.toml",
            )
    return list(names)


def _read(
    kind: str, roots: Sequence[Path], problems: list[str]
) -> tuple[dict[str, tuple[Path, dict[str, Any]]], set[str]]:
    """The TOML of each name, later roots winning; and the names whose file cannot be read."""
    raw: dict[str, tuple[Path, dict[str, Any]]] = {}
    unreadable = set()
    for root in roots:
        for path in sorted((root / kind).glob("*.toml")):
            if not _NAME.match(path.stem):
                what = "the name must be of lower-case letters, digits, '.', '_' and '-'"
                problems.append(f"{path}: {what} (got {path.stem!r})")
                unreadable.add(path.stem)
                continue
            try:
                raw[path.stem] = (path, tomllib.loads(path.read_text(encoding="utf-8")))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
                problems.append(f"{path}: not readable as TOML: {error}")
                unreadable.add(path.stem)
    return raw, unreadable


def _extend(
    name: str,
    raw: Mapping[str, tuple[Path, dict[str, Any]]],
    unreadable: set[str],
    problems: list[str],
    below: tuple[str, ...] = (),
) -> dict[str, Any] | None:
    path, body = raw[name]
    base_name = body.get("extends")
    if base_name is None:
        return body
    if not isinstance(base_name, str):
        problems.append(f"{path}: extends: must be one name (got {base_name!r})")
        return None
    if base_name not in raw or base_name in (*below, name):
        what = "extends itself" if base_name in raw else f"{base_name!r} does not exist"
        problem = f"{path}: extends: {what}"
        if base_name not in unreadable and problem not in problems:  # told once, where it stands
            problems.append(problem)
        return None
    base = _extend(base_name, raw, unreadable, problems, (*below, name))
    override = {key: value for key, value in body.items() if key != "extends"}
    return None if base is None else _merge(base, override)


def _merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in override.items():
        both_tables = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both_tables else value
    return merged


def _validate(
    model: type[Spec], body: dict[str, Any], path: Path, problems: list[str]
) -> Spec | None:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        for item in error.errors():
            key = ".".join(str(part) for part in item["loc"]) or "(file)"
            got = "" if item["type"] == "missing" else f" (got {item['input']!r})"
            problems.append(f"{path}: {key}: {item['msg']}{got}")
        return None


def _check_names(
    tables: Mapping[str, Mapping[str, tuple[Path, dict[str, Any]]]],
    found: Mapping[str, Mapping[str, Any]],
    problems: list[str],
) -> None:
    """Every spec that names another must name one that exists; its own file may be broken, though:
    that was told where it stands. Values of a wrong type were told too.
    """
    for kind, key, target in (
        ("experiments", "dataset", "datasets"),
        ("encoders", "dataset", "datasets"),
        ("encoders", "experiment", "experiments"),
        ("encoders", "tagger", "taggers"),
        ("recipes", "experiment", "experiments"),
        ("studies", "experiment", "experiments"),
        ("studies", "dataset", "datasets"),
    ):
        for path, table in tables[kind].values():
            value = table.get(key)
            needed = kind == "encoders" and key != "dataset" and table.get("kind") == key
            if value is None and needed:
                problems.append(f"{path}: {key}: an encoder of this kind must name one")
            elif isinstance(value, str) and value not in tables[target]:
                known = ", ".join(sorted(found[target])) or "(none)"
                problems.append(f"{path}: {key}: {value!r} is not one of the {target}: {known}")
    for path, table in tables["datasets"].values():
        problems += [f"{path}: {problem}" for problem in contradictions(table)]
    for path, table in tables["studies"].values():
        told = study_spec.contradictions(table, found["experiments"], tables["experiments"])
        problems += [f"{path}: {problem}" for problem in told]
