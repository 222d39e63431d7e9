"""Reports of measured numbers as JSON."""

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any


def report_to_json(report: Mapping[str, Any]) -> str:
    """Indented JSON as strict readers take it: nan and infinite numbers are null."""
    return json.dumps(_without_infinite(report), indent=2, allow_nan=False)


def _without_infinite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_infinite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_infinite(inner) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value
