"""Weights from files, tensors only: nothing that a file holds is ever run."""

import hashlib
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import torch

from avkd.errors import InvalidValueError

StateDict: TypeAlias = Mapping[str, torch.Tensor]

_WRAPPERS = ("state_dict", "model")
_PARALLEL_PREFIX = "module."


def read_state_dict(path: Path) -> StateDict:
    """Read a .safetensors file, or a checkpoint that holds tensors and plain values alone.

    A state dict may lie under ``state_dict`` or ``model``; the prefix of data-parallel training is
    taken off.

    Raises:
        InvalidValueError: if the file is missing, damaged, holds other objects, or no state dict.
    """
    if not path.is_file():
        raise InvalidValueError(f"no weights at {str(path)!r}; give a file with --weights")
    is_safetensors = path.suffix == ".safetensors"
    content = _read_safetensors(path) if is_safetensors else _read_checkpoint(path)
    state = _unwrap(content)
    if state is None:
        raise InvalidValueError(
            f"weights {str(path)!r} hold no state dict (names to tensors), bare or under "
            f"{' or '.join(_WRAPPERS)}; save model.state_dict()"
        )
    return {name.removeprefix(_PARALLEL_PREFIX): tensor for name, tensor in state.items()}


def digest_state_dict(state: StateDict) -> str:
    """Give the sha256 in hex of names, dtypes, shapes and bytes, in name order."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load_strictly(network: torch.nn.Module, state: StateDict, *, source: str) -> None:
    """Load every tensor into its place, and fill every place.

    Raises:
        InvalidValueError: naming the first tensor that is missing, left over or of another shape.
    """
    own = network.state_dict()
    missing = sorted(own.keys() - state.keys())
    left_over = sorted(state.keys() - own.keys())
    reshaped = [name for name in own if name in state and own[name].shape != state[name].shape]
    faults = [
        f"{len(names)} {what} (first {names[0]})"
        for what, names in (
            ("missing", missing),
            ("left over", left_over),
            ("of another shape", reshaped),
        )
        if names
    ]
    if faults:
        raise InvalidValueError(
            f"weights {source!r} do not fit the network: tensors {', '.join(faults)}; "
            "name the family that they were trained as"
        )
    network.load_state_dict(dict(state), strict=True)


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InvalidValueError(
            f"weights {str(path)!r} are not a whole .safetensors file: {error}; copy it again"
        ) from error


def _read_checkpoint(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            # Advice to torch's developers, before a refusal that says what the user can do.
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InvalidValueError(
            f"weights {str(path)!r} hold more than tensors, or are no checkpoint; such a file "
            "could run code, so it is not opened: save the state dict alone, best as .safetensors"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise InvalidValueError(
            f"weights {str(path)!r} are damaged or no checkpoint ({type(error).__name__}); "
            "give a .safetensors file or a state dict saved by torch.save"
        ) from error


def _unwrap(content: object) -> StateDict | None:
    if not isinstance(content, Mapping):
        return None
    for key in _WRAPPERS:
        if isinstance(content.get(key), Mapping):
            return _unwrap(content[key])
    is_state = content and all(isinstance(value, torch.Tensor) for value in content.values())
    return content if is_state else None
