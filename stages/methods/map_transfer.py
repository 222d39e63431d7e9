"""What a student learns from the maps of one or several detectors: attention, or a ranking.

Methods 3.4: MTA draws the student's attention to that of the teachers; the ranking is that of
StereoSoundNet, on the mean of the teachers' maps.

Conventions: N real steps of a batch, C channels, H and W cells of a map, h and w of a level.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.encoders.stream_inputs import require_amount, require_choice
from avkd.stages.losses.attention_transfer import (
    AttentionForm,
    Combination,
    activation_attention,
    attention_transfer,
)
from avkd.stages.losses.ranking import map_ranking
from avkd.stages.methods.batch import TargetShape

Distillation: TypeAlias = Literal["none", "ranking", "mta"]
Cells: TypeAlias = tuple[int, int]
"""Height and width."""
STORED = {"ranking": "features_", "mta": "attention_"}
"""How the names of the outputs begin that are learned from."""


@dataclass(frozen=True, kw_only=True)
class MapPlan:
    """Which stored maps are learned by which levels of a student."""

    outputs: Mapping[str, tuple[str, ...]]
    """By teacher, as many of each."""
    levels: tuple[int, ...]
    """Of the student's, one for each of a teacher's outputs."""
    ranked_channels: int = 0
    """Of the map that is ranked; 0 where none is."""

    @property
    def maps_of(self) -> tuple[tuple[str, str], ...]:
        """Teacher and output of all of them."""
        return tuple((name, output) for name, outputs in self.outputs.items() for output in outputs)


@dataclass(frozen=True, kw_only=True)
class MapTransfer:
    """The configured term; holds no tensors."""

    distillation: Distillation = "mta"
    teachers: tuple[str, ...] = ()
    """Empty: those of the labels."""
    outputs: tuple[str, ...] = ()
    """Of every teacher; empty: all of the kind whose size is that of a level of the student."""
    form: AttentionForm = "as_paper"
    combination: Combination = "product"
    temperature: float = 9.0
    beta: float = 0.5
    margin: float = 0.2

    def __post_init__(self) -> None:
        require_choice("distillation", self.distillation, ("none", "ranking", "mta"))
        require_choice("attention_form", self.form, ("as_paper", "as_printed", "as_released"))
        require_choice("combination", self.combination, ("product", "average", "per_teacher"))
        for name in ("temperature", "beta", "margin"):
            require_amount(name, getattr(self, name))

    def plan(
        self,
        label_teachers: Sequence[str],
        targets: Mapping[str, TargetShape],
        level_sizes: Sequence[Cells],
    ) -> MapPlan | None:
        """Pair stored maps with levels; None where none is learned from.

        Maps of the size of a level go with that level. Where no size is met, they go with the
        levels in their order, the finest first, and attention is brought to one size.

        Raises:
            UnknownNameError: A teacher or output is not stored.
            InvalidValueError: A teacher stored no maps of the kind, or of other sizes than another.
        """
        if self.distillation == "none":
            return None
        chosen = {
            name: self._choose(name, targets) for name in self.teachers or tuple(label_teachers)
        }
        shapes = _require_same(chosen, targets)
        pairs = _pair([shape[1:] for shape in shapes], level_sizes)
        if self.distillation == "ranking":
            pairs = _require_one(pairs, chosen, shapes, level_sizes)
        return MapPlan(
            outputs={
                name: tuple(outputs[place] for place, _ in pairs)
                for name, outputs in chosen.items()
            },
            levels=tuple(level for _, level in pairs),
            ranked_channels=shapes[pairs[0][0]][0] if self.distillation == "ranking" else 0,
        )

    def compare(
        self,
        plan: MapPlan,
        levels: Sequence[Tensor],
        projected: Tensor | None,
        maps: Mapping[tuple[str, str], Tensor],
        seen: Tensor,
    ) -> Tensor:
        """Scalar: the mean over real steps.

        ``maps`` (N, C, H, W) are by teacher and output, ``seen`` bool (teachers, N) says which
        teacher saw which step: others take no part in it.
        """
        stored = [[maps[name, each] for each in plan.outputs[name]] for name in plan.outputs]
        if self.distillation == "ranking":
            assert projected is not None  # the student was built for this plan
            return self._rank(projected, [each[0] for each in stored], seen)
        heard = [activation_attention(levels[level]) for level in plan.levels]
        per_step = attention_transfer(
            heard,
            [[each[:, 0] for each in teacher] for teacher in stored],
            form=self.form,
            combination=self.combination,
            beta=self.beta,
            temperature=self.temperature,
            seen=seen,
        )
        return per_step.mean()

    def _rank(self, projected: Tensor, stored: Sequence[Tensor], seen: Tensor) -> Tensor:
        """Against the mean map of the teachers that saw a step."""
        weights = seen.to(projected) / seen.sum(dim=0).clamp_min(1)
        together = torch.stack([each.float() for each in stored])
        mean = (weights[:, :, None, None, None] * together).sum(dim=0)
        is_seen = seen.any(dim=0)
        if not bool(is_seen.any()):
            return 0 * projected.sum()
        return map_ranking(projected[is_seen], mean[is_seen], self.margin)

    def _choose(self, teacher: str, targets: Mapping[str, TargetShape]) -> tuple[str, ...]:
        if teacher not in targets:
            raise UnknownNameError("teacher of maps", teacher, targets)
        begin = STORED[self.distillation]
        stored = targets[teacher].map_shapes
        for output in self.outputs:
            if output not in stored:
                raise UnknownNameError(f"map of teacher {teacher!r}", output, stored)
        found = self.outputs or tuple(name for name in stored if name.startswith(begin))
        if not found:
            wanted = "attention" if self.distillation == "mta" else "features_1"
            raise InvalidValueError(
                f"teacher {teacher!r} stored no {begin}... map; extract it with --maps "
                f"{teacher}={wanted}, or set method.options.distillation=none"
            )
        return found


def _require_same(
    chosen: Mapping[str, tuple[str, ...]], targets: Mapping[str, TargetShape]
) -> list[tuple[int, int, int]]:
    """The shapes of each teacher's maps, which must be those of the first."""
    found = {
        name: [targets[name].map_shapes[each] for each in outputs]
        for name, outputs in chosen.items()
    }
    (first, shapes), *others = found.items()
    for name, theirs in others:
        if theirs != shapes:
            raise InvalidValueError(
                f"maps of teacher {name!r} are {theirs} but those of {first!r} {shapes} "
                "(channels, height, width); name maps of one size as method.options.maps"
            )
    return shapes


def _pair(sizes: Sequence[Cells], level_sizes: Sequence[Cells]) -> list[tuple[int, int]]:
    """Places of maps and of the levels that they go with."""
    met = [
        (place, level)
        for level, cells in enumerate(level_sizes)
        for place, size in enumerate(sizes)
        if size == cells
    ]
    return met or list(zip(range(len(sizes)), range(len(level_sizes)), strict=False))


def _require_one(
    pairs: Sequence[tuple[int, int]],
    chosen: Mapping[str, tuple[str, ...]],
    shapes: Sequence[tuple[int, int, int]],
    level_sizes: Sequence[Cells],
) -> list[tuple[int, int]]:
    """The one map that is ranked, of the size of a level."""
    if len(pairs) != 1 or shapes[pairs[0][0]][1:] != level_sizes[pairs[0][1]]:
        names = next(iter(chosen.values()))
        raise InvalidValueError(
            f"a ranking takes one map of the size of a level, {', '.join(map(str, level_sizes))}, "
            f"but there are {', '.join(names)} of {', '.join(str(each[1:]) for each in shapes)}; "
            "name it as method.options.maps"
        )
    return list(pairs)
