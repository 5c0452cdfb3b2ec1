"""A generative network in a folder: `model.safetensors` and `model.json`. No pickle."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch

from melgraph.ml.errors import UserError
from melgraph.ml.generative.base import GenerativeNetwork
from melgraph.ml.generative.kinds import build
from melgraph.ml.models.base import InputShape
from melgraph.ml.weights.checkpoints import DESCRIPTION, WEIGHTS

FORMAT = 1  # of model.json; raised when an older reader would misread it
_REQUIRED = ("kind", "shape", "genres", "options", "sha256", "meta")


def save(folder: Path, network: GenerativeNetwork, meta: dict[str, Any]) -> None:
    """Write a network into `folder`; equal network and meta give equal bytes.

    Args:
        folder: created if missing.
        network: from `ml.generative.kinds.build`.
        meta: JSON-ready; `input` says how the spectrograms were computed.
    """
    weights = safetensors.torch.save(
        {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    )
    description = {
        "format": FORMAT,
        "kind": network.kind,
        "shape": asdict(network.shape),
        "genres": list(network.genres),
        "options": network.options,
        "n_parameters": network.n_parameters,
        "sha256": hashlib.sha256(weights).hexdigest(),
        "meta": meta,
    }
    text = json.dumps(description, indent=2, sort_keys=True, allow_nan=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in ((WEIGHTS, weights), (DESCRIPTION, text.encode())):
        aside = folder / f"{name}.partial"
        aside.write_bytes(content)
        aside.replace(folder / name)


def load(
    folder: Path, device: str = "cpu", *, kind: str | None = None
) -> tuple[GenerativeNetwork, dict[str, Any]]:
    """The network of `save`, in evaluation mode on `device`, and its meta.

    Args:
        folder: of the checkpoint.
        device: torch device.
        kind: the kind that is needed; None for any.

    Raises:
        UserError: a file is missing, cut short, altered, of a newer format, of another kind, or
            holds the weights of another architecture.
    """
    description = _read_description(folder / DESCRIPTION)
    if kind is not None and description["kind"] != kind:
        raise UserError(
            f"the checkpoint is of the kind {description['kind']!r}, and {kind!r} is needed",
            where=str(folder),
            remedy="name a generative model of the right kind in the recipe",
        )
    path = folder / WEIGHTS
    content = _read(path)
    if hashlib.sha256(content).hexdigest() != description["sha256"]:
        raise _damaged(path, f"its SHA-256 is not the one in {DESCRIPTION}: changed, or cut short")
    try:
        weights = safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise _damaged(path, f"it is not safetensors: {error}") from error
    try:
        network = build(
            description["kind"],
            InputShape(**description["shape"]),
            description["genres"],
            options=description["options"],
        )
    except (UserError, TypeError, ValueError) as error:
        why = error.what if isinstance(error, UserError) else str(error)
        raise _damaged(folder / DESCRIPTION, f"no network can be built from it: {why}") from error
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    if expected != shapes:
        different = sorted(
            name for name in expected.keys() | shapes if expected.get(name) != shapes.get(name)
        )
        raise _damaged(
            path,
            f"it is of another architecture: {len(different)} tensors differ, the first is "
            f"{different[0]}",
        )
    network.load_state_dict(weights)
    return network.to(device).eval(), description["meta"]


def _read_description(path: Path) -> dict[str, Any]:
    try:
        description = json.loads(_read(path))
    except ValueError as error:
        raise _damaged(path, f"it is not JSON: {error}") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise _damaged(path, f"its format is not {FORMAT}")
    if missing := [name for name in _REQUIRED if description.get(name) is None]:
        raise _damaged(path, f"it lacks {', '.join(missing)}")
    return description


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(
            f"the checkpoint has no {path.name}",
            where=str(path),
            remedy="copy it again, or train the generative model again",
        ) from error
    except OSError as error:
        raise _damaged(path, f"it cannot be read: {error.strerror}") from error


def _damaged(path: Path, what: str) -> UserError:
    return UserError(
        f"{path.name} cannot be used: {what}",
        where=str(path),
        remedy="copy the checkpoint again (both files together), or train the generative model "
        "again",
    )
