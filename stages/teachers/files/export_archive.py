"""What a torch.export archive (.pt2) may hold to be opened at all.

``torch.export.load`` reads more than graphs: entries marked so are unpickled, custom objects too,
sample inputs with a way back to full pickle, compiled libraries are loaded, the sizes of tensors
are evaluated as text, guards are run as code, and the shapes of inputs and outputs name modules to
import. So an archive is looked through first and refused if it has any of that, and what is loaded
is written anew from what was looked through, since no two readers of zip files agree on strange
ones. Torch's makers say nonetheless that it is not for files of strangers, so the user must say
that a file is trusted as well. Imports no torch.
"""

import io
import json
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from avkd.errors import InvalidValueError

SAMPLE_INPUTS = "data/sample_inputs/model.pt"
_GRAPH = "models/model.json"
_CONFIGS = (
    "data/weights/model_weights_config.json",
    "data/constants/model_constants_config.json",
)
_KNOWN = re.compile(
    r"archive_format|archive_version|byteorder|\.data/\w+"
    r"|models/model\.json|data/sample_inputs/model\.pt"
    r"|data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)"
)
_PLAIN_TENSOR = re.compile(r"weight_\d+|tensor_\d+")
_WORDS = (
    "Symbol|Integer|Add|Mul|Max|Min|Mod|PythonMod|FloorDiv|CleanDiv|CeilDiv|IntTrueDiv|FloatTrueDiv"
    "|Abs|floor|ceiling|Eq|Ne|Equality|Unequality|GreaterThan|StrictGreaterThan|LessThan"
    "|StrictLessThan|And|Or|Not|Identity|ToFloat|TruncToInt|int_oo|oo|True|False"
    "|positive|nonnegative|integer|real|finite"
)
# Atomic throughout, or a long number takes for ever; powers and shifts may do so in what evaluates
# them.
_SIZE = re.compile(
    r"(?>\s|[-+/%(),=&|~]|\*(?!\*)|<(?!<)|>(?!>)|\d+(?>\.\d+)?|[a-z]+\d+|'[a-z]+\d+'"
    rf"|(?>{_WORDS})\b)*+"
)
_OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims|torchvision)\.(?!from_file\b)[a-zA-Z0-9]\w*(\.[a-zA-Z0-9]\w*)?"
    r"|torch\.ops\.higher_order\.(associative_scan|cond|invoke_subgraph|map_impl|scan|while_loop"
    r"|wrap_with_autocast|wrap_with_set_grad_enabled)"
    r"|torch\.(sym_\w+|_sym_sqrt)|math\.[a-z]\w*"
    r"|_operator\.(add|sub|mul|floordiv|truediv|mod|neg|pow|getitem|le|lt|ge|gt|eq|ne|and_|or_|not_)"
)
_RANDOM = re.compile(
    r"torch\.ops\.(aten|prims)\.(bernoulli|cauchy|exponential|geometric|log_normal|multinomial"
    r"|normal|poisson|rand|randint|randn|randperm|uniform)_?(_like|_functional)?(\..*)?"
)
_TREES = frozenset(
    {None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}
)
"""Of what a network takes and gives; others name modules and classes."""
_DAMAGE = (
    zipfile.BadZipFile,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
"""What readers of zip and JSON say of files that are none, or of other shapes."""


def check_archive(path: Path, content: bytes) -> Mapping[str, bytes]:
    """Look an archive through.

    Args:
        path: of the file, for messages.
        content: of the file.

    Returns:
        Its entries by their name inside of the archive, without guards: sizes are compared by whom
        this is for.

    Raises:
        InvalidValueError: it is damaged, or holds what would be unpickled, run or evaluated.
    """
    try:
        entries = _read_entries(path, content)
        for name in _CONFIGS:
            _check_tensors(path, json.loads(entries[name]))
        program = json.loads(entries[_GRAPH])
        _check_graph(path, program)
        program["guards_code"] = []
        entries[_GRAPH] = json.dumps(program).encode()
    except _DAMAGE as error:
        if isinstance(error, InvalidValueError):
            raise
        raise InvalidValueError(
            f"{path} is no whole archive of torch.export.save ({type(error).__name__}: {error}); "
            "save it again with a torch of today"
        ) from error
    return entries


def pack_archive(entries: Mapping[str, bytes]) -> io.BytesIO:
    """Write an archive of entries."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in entries.items():
            archive.writestr(f"network/{name}", content)
    packed.seek(0)
    return packed


def _read_entries(path: Path, content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        roots = {name.partition("/")[0] for name in names}
        if len(roots) != 1 or len(set(names)) < len(names):
            raise _refusal(path, "two entries for one place")
        entries = {}
        for info in archive.infolist():
            name = info.filename.partition("/")[2]
            if not _KNOWN.fullmatch(name):
                raise _refusal(path, f"the entry {name!r}, which may be code")
            if info.compress_type != zipfile.ZIP_STORED:
                raise _refusal(path, f"the packed entry {name!r}")
            entries[name] = archive.read(info)
        return entries


def _check_tensors(path: Path, config: Mapping[str, Any]) -> None:
    for name, entry in config["config"].items():
        if entry["use_pickle"] is not False or not _PLAIN_TENSOR.fullmatch(entry["path_name"]):
            raise _refusal(path, f"the pickled entry {name!r}")


def _check_graph(path: Path, graph: Mapping[str, Any]) -> None:
    for each in _walk(graph):
        operators = [each["target"]] if "target" in each and "inputs" in each else []
        operators += [each["as_operator"]] if "as_operator" in each else []
        for operator in operators:
            if not _OPERATOR.fullmatch(operator):
                raise _refusal(path, f"the operator {operator!r}, which is none of torch's own")
            if _RANDOM.fullmatch(operator):
                raise _refusal(path, f"the operator {operator!r}, which is random")
        if each.get("name") in ("train", "training") and each.get("arg") == {"as_bool": True}:
            raise _refusal(path, "a network in training; call eval() before the export")
        if "expr_str" in each and not _SIZE.fullmatch(each["expr_str"]):
            raise _refusal(path, f"the size {each['expr_str']!r}, which is more than arithmetic")
        for key in ("in_spec", "out_spec"):
            if key in each:
                _check_tree(path, each[key])


def _check_tree(path: Path, text: str) -> None:
    """Contexts are JSON in JSON: of a dict its keys, of others nothing."""
    for each in _walk(json.loads(text)):
        kind, context = each.get("type"), each.get("context")
        keys = json.loads(context) if isinstance(context, str) else context
        is_plain = keys is None or (
            isinstance(keys, list) and all(isinstance(key, str | int) for key in keys)
        )
        if kind not in _TREES or not is_plain:
            raise _refusal(path, f"inputs or outputs of the kind {kind!r} {context!r}")


def _walk(value: object) -> Iterator[Mapping[str, Any]]:
    """Give every mapping that is nested in whatever."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield each
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each


def _refusal(path: Path, what: str) -> InvalidValueError:
    return InvalidValueError(
        f"{path} holds {what}; it is not opened: export the network for inference and save it with "
        "torch.export.save alone, or export it to ONNX"
    )
