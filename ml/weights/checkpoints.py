"""A model in a folder: `model.safetensors` (weights) and `model.json` (the rest). No pickle."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.models import InputShape, build
from melgraph.ml.models.base import Classifier

FORMAT = 2  # of model.json; raised when an older reader would misread it
TAG_FORMAT = 3  # of a model of tags, which a reader of 2 would take for a model of classes
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
_REQUIRED = {"architecture", "options", "shape", "n_classes", "weights", "meta"}


def save(folder: Path, model: Classifier, meta: dict) -> None:
    """Write the model into `folder`; equal model and meta give equal bytes.

    Each file is written aside and renamed, the description last: it names the size and SHA-256 of
    the weights, so a folder cut short at any point is refused by `load`.

    Args:
        folder: created if missing; files of an earlier checkpoint in it are replaced.
        model: from `ml.models.build`.
        meta: JSON-ready. At least `classes` (names, in the order of the outputs) and `input` (its
            `representation`, `channels` and `transform`).

    Raises:
        ValueError: meta lacks something or does not fit the model; the model is not from `build`.
    """
    _check_meta(model, meta)
    weights = safetensors.torch.save(
        {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    )
    description = {
        "format": TAG_FORMAT if model.multi_label else FORMAT,
        "architecture": model.architecture,
        "options": model.options,
        "shape": asdict(model.shape),
        "n_classes": model.n_classes,
        "embedding_dim": model.embedding_dim,
        "n_parameters": model.n_parameters,
        "weights": {"bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest()},
        "meta": meta,
    }
    text = json.dumps(description, indent=2, sort_keys=True, allow_nan=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / WEIGHTS, weights)
    _write(folder / DESCRIPTION, text.encode())


def load(folder: Path, device: str = "cpu") -> tuple[Classifier, dict]:
    """The model of `save`, in evaluation mode on `device`, and its meta.

    It predicts what it was trained on: one class a track, or tags (`model.multi_label`); and its
    segments decide for a track as its experiment says (`model.aggregate`).

    Raises:
        UserError: a file is missing, cut short, damaged, of a newer format, or does not belong to
            the other; the message names the file, what is wrong with it and the remedy.
    """
    description = _read_description(folder / DESCRIPTION)
    weights = _read_weights(folder / WEIGHTS, description["weights"])
    try:
        model = build(
            description["architecture"],
            InputShape(**description["shape"]),
            n_classes=description["n_classes"],
            **description["options"],
        )
    except (UserError, TypeError, ValueError) as error:
        why = error.what if isinstance(error, UserError) else str(error)
        raise _damaged(folder / DESCRIPTION, f"no model can be built from it: {why}") from error
    _check_keys(folder / WEIGHTS, model, weights)
    model.load_state_dict(weights)
    model.multi_label = description["format"] == TAG_FORMAT
    model.aggregate = description["meta"].get("aggregate", "mean")
    return model.to(device).eval(), description["meta"]


def _check_meta(model: Classifier, meta: dict) -> None:
    if not model.architecture:
        raise ValueError("the model has no architecture name: make it with ml.models.build")
    missing = sorted({"classes", "input"} - set(meta))
    if missing:
        raise ValueError(f"meta lacks {', '.join(missing)}")
    if len(meta["classes"]) != model.n_classes:
        raise ValueError(f"{len(meta['classes'])} classes for {model.n_classes} outputs")
    lacking = sorted({"representation", "channels", "transform"} - set(meta["input"]))
    if lacking:
        raise ValueError(f"meta.input lacks {', '.join(lacking)}")


def _write(path: Path, content: bytes) -> None:
    aside = path.with_name(path.name + ".partial")
    aside.write_bytes(content)
    aside.replace(path)


def _read_description(path: Path) -> dict:
    try:
        description = json.loads(_read(path))
    except ValueError as error:  # cut short, or not text at all
        raise _damaged(path, f"it is not JSON: {error}") from error
    if not isinstance(description, dict) or not isinstance(description.get("format"), int):
        raise _damaged(path, "it has no integer `format`")
    if description["format"] not in (FORMAT, TAG_FORMAT):
        raise UserError(
            f"the checkpoint has format {description['format']}, this version reads {FORMAT} and "
            f"{TAG_FORMAT}",
            where=str(path),
            remedy="use the melgraph that wrote it, or train the model again with this version",
        )
    missing = sorted(_REQUIRED - set(description))
    if missing:
        raise _damaged(path, f"it lacks {', '.join(missing)}")
    weights = description["weights"]
    if not isinstance(weights, dict) or not {"bytes", "sha256"} <= set(weights):
        raise _damaged(path, "`weights` lacks bytes or sha256")
    return description


def _read_weights(path: Path, expected: dict) -> dict[str, torch.Tensor]:
    content = _read(path)
    if len(content) != expected["bytes"]:
        short = " (cut short)" if len(content) < expected["bytes"] else ""
        raise _damaged(path, f"it has {len(content)} bytes, not {expected['bytes']}{short}")
    if hashlib.sha256(content).hexdigest() != expected["sha256"]:
        raise _damaged(
            path, f"its SHA-256 is not the one in {DESCRIPTION}: changed, or not its own"
        )
    try:
        return safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise _damaged(path, f"it is not safetensors: {error}") from error


def _check_keys(path: Path, model: Classifier, weights: dict[str, torch.Tensor]) -> None:
    """Compare names and shapes before loading, to report all differences at once."""
    expected = model.state_dict()
    problems = [
        f"{name} is {tuple(weights[name].shape)}, not {tuple(expected[name].shape)}"
        for name in sorted(set(expected) & set(weights))
        if weights[name].shape != expected[name].shape
    ]
    problems += [f"lacks {name}" for name in sorted(set(expected) - set(weights))]
    problems += [f"has an unknown {name}" for name in sorted(set(weights) - set(expected))]
    if problems:
        summary = "; ".join(problems[:5]) + (
            f"; {len(problems)} in all" if len(problems) > 5 else ""
        )
        raise _damaged(path, f"it does not fit the architecture {model.architecture!r}: {summary}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(
            f"the checkpoint has no {path.name}",
            where=str(path),
            remedy="check the folder, copy it again, or train the model again",
        ) from error


def _damaged(path: Path, what: str) -> UserError:
    return UserError(
        f"{path.name} cannot be used: {what}",
        where=str(path),
        remedy="copy the checkpoint again (both files together), or train the model again",
    )
