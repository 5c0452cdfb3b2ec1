"""Where a training stands, on disk: written whole or not at all, read back without a pickle run."""

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

_LOG = logging.getLogger("melgraph")
FILE = "state.pt"


class TrainingState:
    """The state of one training in a folder, or nowhere.

    Args:
        folder: made if missing; None keeps nothing.
        fingerprint: of all that decides the training; a state of another one is passed over.
    """

    def __init__(self, folder: Path | None, fingerprint: str) -> None:
        self._path = None if folder is None else folder / FILE
        self._fingerprint = fingerprint

    def save(self, state: dict[str, Any]) -> None:
        """Write aside, flush, rename."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        aside = self._path.with_name(f"{FILE}.{os.getpid()}.aside")
        with aside.open("wb") as file:
            torch.save({"fingerprint": self._fingerprint, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._path)

    def load(self, device: str) -> dict[str, Any] | None:
        """What was saved last; None where there is nothing that fits. Tensors are on the CPU."""
        if self._path is None or not self._path.is_file():
            return None
        try:
            state = torch.load(self._path, map_location="cpu", weights_only=True)
            same = state["fingerprint"] == self._fingerprint
        except Exception as error:  # whatever a damaged file makes torch raise
            _LOG.warning("%s cannot be read (%s): the training starts anew", self._path, error)
            return None
        if not same:
            _LOG.warning("%s is of another training: this one starts anew", self._path)
            return None
        return state


def fingerprint(model: nn.Module, arrays: Any, labels: np.ndarray, *rest: object) -> str:
    """Digest of what decides a training: the initial weights, the tracks, and the rest as JSON."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    shapes = [tuple(array.shape) for array in arrays]
    if labels.ndim == 2:  # tags: as JSON they would be large
        digest.update(np.packbits(labels > 0).tobytes())
        labels = np.array(labels.shape)
    digest.update(json.dumps([shapes, labels.tolist(), *rest], default=str).encode())
    return digest.hexdigest()
