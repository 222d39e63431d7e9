"""Plans: which shards hold clips, in which parts.

A planner writes clip parts by exclusive create, then lists them in ``plans/<n>.json``, again by
exclusive create. Only the list makes parts count, so a planner that dies before it leaves nothing
but files that no list names. The next planner takes such a leftover over if it has the bytes it
would write itself, and else writes its part under another name (``00007.1.parquet``): nothing is
overwritten, so of two planners that race one wins the list, and the parts it names stay as they
are.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import count, groupby

from avkd.errors import CorruptStoreError, InvalidValueError, StoreUnwritableError
from avkd.storage import layout, objects
from avkd.storage.clips import encode_clips
from avkd.storage.commits import StoredFile
from avkd.storage.fault_points import pass_point
from avkd.storage.reading import read_checked
from avkd.storage.schema import ClipRow
from avkd.storage.sealed import seal, unseal


class RaceLostError(StoreUnwritableError):
    """Another process wrote first; who looks at the store again can go on."""


@dataclass(frozen=True, kw_only=True)
class PlannedPart:
    """The clips of one shard."""

    shard: int
    path: str
    num_clips: int
    num_retries: int
    """Clips with an attempt above 0."""
    size: int
    sha256: str


def append_clips(
    url: str, number: int, clips: Sequence[ClipRow], first_row: int, rows_per_shard: int
) -> None:
    """Write the clip parts and, last, the plan that lists them.

    Raises:
        InvalidValueError: the rows do not follow ``first_row``, or a clip id comes twice.
        RaceLostError: another planner was faster, with other clips.
    """
    if clips and clips[0].row < first_row:  # rows that were free when these clips were laid out
        raise _lost_race(url)
    _check_clips(clips, first_row)
    shards = groupby(clips, key=lambda clip: clip.row // rows_per_shard)
    write_plan(url, number, [claim_part(url, shard, list(rows)) for shard, rows in shards])


def claim_part(url: str, shard: int, clips: Sequence[ClipRow]) -> PlannedPart:
    """Write a clip part where no other bytes are."""
    data = encode_clips(clips)
    for copy in count():
        path = layout.clip_part(shard, copy)
        place = objects.join(url, path)
        try:
            pass_point("before-clip-part")
            objects.create_exclusive(place, data)
            pass_point("after-clip-part")
        except FileExistsError:
            if not _holds(place, data):
                continue
            objects.put_durable(place, data)  # young again, or it might be swept as a leftover
        break
    return PlannedPart(
        shard=shard,
        path=path,
        num_clips=len(clips),
        num_retries=sum(clip.attempt > 0 for clip in clips),
        size=len(data),
        sha256=sha256(data).hexdigest(),
    )


def write_plan(url: str, number: int, parts: Sequence[PlannedPart], generation: int = 0) -> None:
    """List the parts; from here on they count.

    Raises:
        RaceLostError: another planner was faster, with other clips.
    """
    _refuse_swept(url, parts)
    later = {"generation": generation} if generation else {}
    data = seal({"plan": number, "parts": [asdict(part) for part in parts], **later})
    place = objects.join(url, layout.plan_file(number, generation))
    try:
        pass_point("before-plan")
        objects.create_exclusive(place, data)
        pass_point("after-plan")
    except FileExistsError:
        if objects.read_bytes(place) != data:
            raise _lost_race(url) from None
    remove_unlisted(url, parts)
    pass_point("after-leftovers")


def list_generations(url: str) -> dict[int, int]:
    """Return the newest generation of every plan; earlier ones stay, so that names stay taken.

    Raises:
        CorruptStoreError: a number is missing.
    """
    names = objects.list_names(objects.join(url, layout.PLANS_FOLDER))
    numbers = layout.find_generations(names)
    missing = set(range(len(numbers))) - numbers.keys()
    if missing:
        path = layout.plan_file(min(missing))
        raise CorruptStoreError(f"{path} is missing; restore the file")
    return {number: generations[-1] for number, generations in numbers.items()}


def read_plan(url: str, number: int, generation: int = 0) -> tuple[PlannedPart, ...]:
    """Read one plan.

    Raises:
        CorruptStoreError: the file is damaged.
    """
    path = layout.plan_file(number, generation)
    return parse_plan(objects.read_bytes(objects.join(url, path)), path)


def parse_plan(data: bytes, path: str) -> tuple[PlannedPart, ...]:
    """Return the parts that a plan's bytes list.

    Raises:
        CorruptStoreError: the bytes are not those of a whole plan of that place.
    """
    document = unseal(data, path)
    if path != layout.plan_file(document["plan"], document.get("generation", 0)):
        raise CorruptStoreError(f"{path}: this is plan {document['plan']}; restore the file")
    return tuple(PlannedPart(**part) for part in document["parts"])


def read_part_bytes(url: str, part: PlannedPart) -> bytes:
    """Read a clip part and hold it to its plan.

    Raises:
        CorruptStoreError: it is missing or differs.
    """
    return read_checked(url, StoredFile(path=part.path, size=part.size, sha256=part.sha256))


def _holds(place: str, data: bytes) -> bool:
    try:
        return objects.read_bytes(place) == data
    except FileNotFoundError:  # a leftover that a faster planner has removed meanwhile
        return False


def _lost_race(url: str) -> RaceLostError:
    return RaceLostError(
        f"{url}: another process planned clips meanwhile; run the same command again"
    )


def _refuse_swept(url: str, parts: Sequence[PlannedPart]) -> None:
    """Of a planner that slept so long that its parts were taken for a dead one's."""
    names = set(objects.list_names(objects.join(url, layout.CLIPS_FOLDER)))
    for part in parts:
        if part.path.removeprefix(f"{layout.CLIPS_FOLDER}/") not in names:
            raise _lost_race(url)


def remove_unlisted(url: str, parts: Sequence[PlannedPart]) -> None:
    """Remove all other parts of the shards that a plan lists."""
    # Safe: whoever still means to list another part of these shards has lost to this plan.
    listed = {part.path for part in parts}
    shards = {f"{part.shard:05d}" for part in parts}
    for name in objects.list_names(objects.join(url, layout.CLIPS_FOLDER)):
        path = f"{layout.CLIPS_FOLDER}/{name}"
        if name.split(".")[0] in shards and path not in listed:
            objects.remove(objects.join(url, path))


def _check_clips(clips: Sequence[ClipRow], first_row: int) -> None:
    for row, clip in enumerate(clips, start=first_row):
        if clip.row != row:
            raise InvalidValueError(
                f"clip {clip.clip_id} has row {clip.row} where {row} is next; "
                "plan rows one after the other from next_row()"
            )
    ids = {(clip.clip_id, clip.attempt) for clip in clips}
    if len(ids) != len(clips):
        raise InvalidValueError(
            "a clip id comes twice in one plan; are two recordings of one id in the corpus?"
        )
