"""From a request to a classifier network with its weights, whichever library it comes from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from avkd.errors import InvalidValueError
from avkd.stages.teachers.checkpoint import (
    StateDict,
    digest_state_dict,
    load_strictly,
    read_state_dict,
)
from avkd.stages.teachers.class_names import find_class_names, read_class_names
from avkd.stages.teachers.classifier import OUTPUT_NAMES, Classifier, measure_layer
from avkd.stages.teachers.declaration import (
    Preprocessing,
    Teacher,
    TeacherDeclaration,
    declare_classifier,
    digest_file,
)
from avkd.stages.teachers.loaded import LoadedTeacher
from avkd.stages.teachers.request import RANDOM_WEIGHTS, TeacherRequest
from avkd.stages.teachers.runtimes.build import build_runtime


class ClassifierLibrary(Protocol):
    """Where classifier networks come from; ``model`` is what follows the slash in a family."""

    def build(self, model: str, num_classes: int | None) -> nn.Module:
        """Build without weights; None is the library's own number of classes."""
        ...

    def build_pretrained(self, model: str) -> tuple[nn.Module, str]:
        """Build with the weights it comes with, and their sha256."""
        ...

    def classifier_layer(self, network: nn.Module) -> str:
        """Name the layer that gives the logits."""
        ...

    def preprocessing(self, model: str, *, is_pretrained: bool) -> Preprocessing:
        """Say how pictures are prepared."""
        ...

    def rename(self, state: StateDict, network: nn.Module) -> StateDict:
        """Give a user's tensors the names that the network has."""
        ...


@dataclass(frozen=True, kw_only=True)
class Network:
    """A classifier ready to be declared or run."""

    module: nn.Module
    layer: str
    weights_sha256: str
    preprocessing: Preprocessing


def declare_from(library: ClassifierLibrary, request: TeacherRequest) -> TeacherDeclaration:
    """Declare a library's classifier; the network is built, because only it knows its widths."""
    return _declare(build_network(library, request), request)


def load_from(library: ClassifierLibrary, request: TeacherRequest) -> Teacher:
    """Load a library's classifier into its runtime."""
    network = build_network(library, request)
    declaration = _declare(network, request)
    classifier = Classifier(network.module, network.layer, network.preprocessing).eval()
    return LoadedTeacher(
        declaration=declaration,
        run=build_runtime(classifier, OUTPUT_NAMES, declaration, request),
    )


def build_network(library: ClassifierLibrary, request: TeacherRequest) -> Network:
    """Build the network with the weights that the request names."""
    model = request.family.partition("/")[2]
    if request.weights == RANDOM_WEIGHTS:
        module, digest = _build_random(library, model, request)
    elif request.weights:
        module, digest = _build_from_file(library, model, Path(request.weights))
    else:
        module, digest = library.build_pretrained(model)
    return Network(
        module=module.eval(),
        layer=library.classifier_layer(module),
        weights_sha256=digest,
        preprocessing=library.preprocessing(model, is_pretrained=not request.weights),
    )


def seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build with weights drawn from a seed, and leave the process's own random state alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def _declare(network: Network, request: TeacherRequest) -> TeacherDeclaration:
    layer = network.module.get_submodule(network.layer)
    num_classes, num_features = measure_layer(layer, request.family)
    return declare_classifier(
        request,
        weights_sha256=network.weights_sha256,
        preprocessing=network.preprocessing,
        num_classes=num_classes,
        num_features=num_features,
        class_names=find_class_names(request.classes, num_classes),
    )


def _build_random(
    library: ClassifierLibrary, model: str, request: TeacherRequest
) -> tuple[nn.Module, str]:
    names = read_class_names(Path(request.classes)) if request.classes else ()
    module = seeded(lambda: library.build(model, len(names) or None), request.seed)
    return module, digest_state_dict(module.state_dict())


def _build_from_file(library: ClassifierLibrary, model: str, path: Path) -> tuple[nn.Module, str]:
    """Build twice: the first, without memory, tells which tensor counts the classes."""
    state = read_state_dict(path)
    with torch.device("meta"):
        outline = library.build(model, None)
    state = library.rename(state, outline)
    key = f"{library.classifier_layer(outline)}.weight"
    if key not in state:
        raise InvalidValueError(
            f"weights {str(path)!r} have no tensor {key!r} of the classifier of {model!r}; "
            "name the family that they were trained as"
        )
    module = library.build(model, state[key].shape[0])
    load_strictly(module, state, source=str(path))
    return module, digest_file(path)
