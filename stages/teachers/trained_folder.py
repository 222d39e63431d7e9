"""The folder of a teacher that avkd trained from pictures: what it is told by, and its weights.

Imports no torch.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from avkd.errors import CorruptStoreError, StoreNotFoundError

WEIGHTS_FILE = "weights.safetensors"

Description = TypeVar("Description")


@dataclass(frozen=True, kw_only=True)
class TrainedFolder:
    """How the folders of one kind of teacher are laid out."""

    what: str
    """Such as ``detector``."""
    task: str
    """Of ``avkd train-teacher``."""
    description_file: str
    """Its presence means that training is finished."""
    training_file: str
    """There from the start."""

    def is_at(self, path: str | Path) -> bool:
        """Tell whether such a teacher is, or is being, trained in that folder."""
        folder = Path(path).expanduser()
        return any(
            (folder / name).is_file() for name in (self.description_file, self.training_file)
        )

    def is_finished(self, path: str | Path) -> bool:
        """Tell whether the teacher is there."""
        return (Path(path).expanduser() / self.description_file).exists()

    def read(self, path: str | Path, kind: type[Description]) -> Description:
        """Read what a finished teacher says of itself.

        Raises:
            StoreNotFoundError: there is none, or its training is not finished.
            CorruptStoreError: the description cannot be read.
        """
        from pydantic import TypeAdapter, ValidationError

        folder = Path(path).expanduser()
        file = folder / self.description_file
        if not file.is_file():
            if (folder / self.training_file).is_file():
                raise StoreNotFoundError(
                    f"the run {folder} is not finished; go on with its command"
                )
            raise StoreNotFoundError(
                f"no {self.what} at {folder}; make one with avkd train-teacher --task {self.task}"
            )
        try:
            return TypeAdapter(kind).validate_json(file.read_bytes())
        except (ValidationError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise CorruptStoreError(f"{file}: {reason}; train again") from error


def weights_file(path: str | Path) -> Path:
    """Where the weights of a teacher's folder are.

    Raises:
        CorruptStoreError: they are not there.
    """
    file = Path(path).expanduser() / WEIGHTS_FILE
    if not file.is_file():
        raise CorruptStoreError(f"{file} is missing; copy it again, or train again")
    return file
