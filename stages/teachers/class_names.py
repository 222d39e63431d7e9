"""What the classes of a head are called.

Imports neither torch nor timm: declaring a packaged teacher must be quick.
"""

import importlib.util
import re
from collections import Counter
from pathlib import Path

from avkd.errors import InvalidValueError

NUM_IMAGENET_CLASSES = 1000
_LETTER_FOLDER = re.compile("/[a-z]/.")


def find_class_names(classes: str, num_classes: int) -> tuple[str, ...]:
    """Read the user's file of names; without one, a head of 1000 is taken for ImageNet's.

    Any other head without a file has no names: an empty tuple.
    """
    if classes:
        return read_class_names(Path(classes))
    return imagenet_class_names() if num_classes == NUM_IMAGENET_CLASSES else ()


def read_class_names(path: Path) -> tuple[str, ...]:
    """Read one name a line, in the order of the logits.

    Files in the manner of Places365 (``/a/airfield 0``) are understood: what every line has, its
    own index behind or a letter's folder before, goes.

    Raises:
        InvalidValueError: if the file cannot be read as text or names nothing.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValueError(
            f"class names {str(path)!r} cannot be read ({type(error).__name__}); "
            "give a text file with one name a line"
        ) from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise InvalidValueError(
            f"class names {str(path)!r} is empty; give a text file with one name a line"
        )
    names = _without_indices(lines)
    has_folders = all(_LETTER_FOLDER.match(name) for name in names)
    return tuple(name[3:] if has_folders else name for name in names)


def imagenet_class_names() -> tuple[str, ...]:
    """Give the 1000 names in the order of the logits, each once (``crane`` is a bird and a lift).

    They are read from the data files of the installed timm.
    """
    folder = _timm_data_folder()
    synsets = (folder / "imagenet_synsets.txt").read_text(encoding="utf-8").split()
    rows = (folder / "imagenet_synset_to_lemma.txt").read_text(encoding="utf-8").splitlines()
    lemmas = dict(row.split("\t", 1) for row in rows)
    names = [lemmas[synset].split(",")[0].strip() for synset in synsets]
    counts = Counter(names)
    return tuple(
        f"{name} ({synset})" if counts[name] > 1 else name
        for name, synset in zip(names, synsets, strict=True)
    )


def _timm_data_folder() -> Path:
    """Through the spec: importlib.resources would import timm, and timm imports torch."""
    spec = importlib.util.find_spec("timm")
    if spec is not None and spec.submodule_search_locations:
        folder = Path(spec.submodule_search_locations[0]) / "data" / "_info"
        if (folder / "imagenet_synset_to_lemma.txt").is_file():
            return folder
    raise InvalidValueError(
        "the installed timm has no ImageNet class names where they were up to 1.0.31; "
        "give a file with one name a line with --classes"
    )


def _without_indices(lines: list[str]) -> list[str]:
    parts = [line.rpartition(" ") for line in lines]
    has_indices = all(index == str(place) for place, (_, _, index) in enumerate(parts))
    return [name.strip() for name, _, _ in parts] if has_indices else lines
