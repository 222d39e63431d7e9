"""Named tensors to safetensors files and back."""

import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from avkd.errors import CorruptStoreError, StoreUnwritableError


def write_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Put a whole file in its place at once.

    Raises:
        StoreUnwritableError: It cannot be written.
    """
    from safetensors.torch import save

    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except OSError as error:
        raise StoreUnwritableError(
            f"{file} cannot be written: {error.strerror or error}; free space or permissions"
        ) from error


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a file, on the CPU.

    Raises:
        CorruptStoreError: The file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise CorruptStoreError(f"{file} cannot be read: {error}; train again") from error
