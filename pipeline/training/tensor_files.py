"""Named tensors to safetensors files and back."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from avkd.errors import CorruptStoreError
from avkd.pipeline.run_dir import write_bytes


def write_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Put a whole file in its place at once.

    Raises:
        StoreUnwritableError: It cannot be written.
    """
    from safetensors.torch import save

    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    write_bytes(file, data, "free space or permissions")


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
