"""How a store's recordings were cut: the one place that knows of stores without a clip policy.

Recordings without files (inline vectors) are not cut: each is one row of one step, and such a store
has an empty policy.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from avkd.stages.types import ClipPolicy
from avkd.storage.store import Store


def read_policy(store: Store) -> ClipPolicy | None:
    """Give the policy; None where each recording is one row without files."""
    fields = cast(Mapping[str, Any], store.clip_policy)
    return ClipPolicy(**fields) if fields else None


def policy_fields(policy: ClipPolicy | None) -> Mapping[str, object]:
    """Give what a new store notes down; PyAV it does not, which decoded all pictures at first."""
    fields = {} if policy is None else asdict(policy)
    return {name: value for name, value in fields.items() if (name, value) != ("decoder", "pyav")}
