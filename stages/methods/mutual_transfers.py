"""Which terms of mutual learning carry knowledge over, from switches to weights; no tensors.

With S the student, A the teacher's audio branch and F its fused logits (or V, the visual ones), the
terms are single-modal, between A and S, and cross-modal, between F and S, each in two directions.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias, get_args

from avkd.errors import InvalidValueError
from avkd.stages.encoders.stream_inputs import require_amount, require_choice

Switch: TypeAlias = Literal["both", "to_student", "to_teacher", "off"]
Learner: TypeAlias = Literal["student", "teacher"]
Kind: TypeAlias = Literal["single", "cross"]
Direction: TypeAlias = Literal["to_student", "to_teacher"]


class Transfer(NamedTuple):
    """One of the four terms."""

    kind: Kind
    direction: Direction

    def __str__(self) -> str:
        """As the parts of a loss name it."""
        return f"{self.kind}_{self.direction}"


Transfers: TypeAlias = Mapping[Transfer, float]
"""The terms in force, with their weights."""


def switch_transfers(
    single_modal: Switch, cross_modal: Switch, weights: Transfers, *, mutual: bool
) -> Transfers:
    """The terms that the switches leave; those that are not ``mutual`` go to the student only.

    Raises:
        InvalidValueError: A switch is not known, or a weight is below 0.
    """
    switches: Mapping[Kind, Switch] = {"single": single_modal, "cross": cross_modal}
    for kind, switch in switches.items():
        require_choice(f"{kind}_modal", switch, get_args(Switch))
    for transfer, weight in weights.items():
        require_amount(f"the weight of {transfer}", weight)
    return {
        transfer: weight
        for transfer, weight in weights.items()
        if switches[transfer.kind] in ("both", transfer.direction)
        and (mutual or transfer.direction == "to_student")
    }


def keep_stored(transfers: Transfers, learner: Learner, stored: Mapping[Kind, str]) -> Transfers:
    """The terms of a form in which one network learns, where stored targets are named for them."""
    return {
        transfer: weight
        for transfer, weight in transfers.items()
        if transfer.direction == f"to_{learner}" and stored[transfer.kind]
    }


def require_live_targets(stored: Mapping[Kind, str]) -> None:
    """Refuse names of stored targets where both networks are trained.

    Raises:
        InvalidValueError: There is one.
    """
    if named := [name for name in stored.values() if name]:
        raise InvalidValueError(
            f"form 'joint' trains both networks and reads no targets of {', '.join(named)}; "
            "set method.options.form=one_way"
        )


def require_taught_branches(transfers: Transfers, cross_pair: str, vote_weight: float) -> None:
    """Refuse that the student learns from a branch that has learned nothing.

    Raises:
        InvalidValueError: It is so.
    """
    from_branch = [
        str(transfer)
        for transfer in transfers
        if transfer.direction == "to_student"
        and (transfer.kind == "single" or cross_pair == "visual")
    ]
    if from_branch and not vote_weight:
        raise InvalidValueError(
            f"vote_weight 0 leaves the teacher's branches without labels, but {from_branch[0]} "
            "learns from one; raise it, or switch that term off"
        )
