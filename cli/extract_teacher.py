"""`avkd extract-teacher`: options to one extraction."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Literal

from avkd.cli import extract_options as options
from avkd.cli.console import (
    print_facts,
    print_json,
    print_note,
    print_result,
    show_progress,
)
from avkd.cli.stored_pictures import parse_class_map, parse_frames
from avkd.cli.teacher_requests import parse_teachers
from avkd.errors import InvalidValueError
from avkd.pipeline.executor import STOP_SECONDS
from avkd.pipeline.report.numbers import counted, size

if TYPE_CHECKING:
    from avkd.pipeline.extraction.progress import ProgressEvent
    from avkd.pipeline.extraction.request import ExtractReport, ExtractRequest
    from avkd.stages.media.limits import DecodeLimits
    from avkd.stages.types import WaveformFormat


def extract_teacher(
    corpus: options.CorpusPlace,
    store: options.StorePlace,
    teacher: options.TeacherNames = None,
    weights: options.WeightFiles = None,
    classes: options.ClassFiles = None,
    stream: options.PictureStreams = None,
    picture_size: options.PictureSizes = None,
    maps: options.MapNames = None,
    map_channels: options.MapChannels = 0,
    per: options.StoredPer = None,
    views: options.ViewNumbers = None,
    clip_seconds: options.ClipSeconds = None,
    step_seconds: options.StepSeconds = None,
    frames_per_step: options.FramesPerStep = None,
    tail: options.TailRule = None,
    decoder: options.PictureDecoder = None,
    rows_per_shard: options.RowsPerShard = None,
    inputs: options.CachedInput = None,
    sample_rate: options.SampleRate = None,
    channels: options.ChannelRule = None,
    num_channels: options.NumChannels = None,
    frames: options.CachedFrames = None,
    class_map: options.TrueClassMaps = None,
    vector: options.VectorColumns = None,
    sparse_top_k: options.SparseTopK = None,
    path_column: options.PathColumn = "path",
    id_column: options.IdColumn = "recording_id",
    runtime: options.TeacherRuntime = options.Runtime.auto,
    device: options.TeacherDevice = options.Device.auto,
    precision: options.TeacherPrecision = options.Precision.float32,
    is_compiled: options.Compiled = False,
    trust: options.TrustedTeachers = None,
    batch_size: options.BatchSize = 32,
    executor: options.ShardExecutor = options.Executor.serial,
    workers: options.Workers = 1,
    scheduler: options.Scheduler = "",
    max_failure_rate: options.MaxFailureRate = 1.0,
    on_partial: options.OnPartial = options.Partial.keep,
    decode_workers: options.DecodeWorkers = None,
    decode_seconds: options.DecodeSeconds = None,
    decode_memory_mb: options.DecodeMemory = None,
    stop_seconds: options.StopSeconds = STOP_SECONDS,
    no_space_check: options.NoSpaceCheck = False,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Let teachers look at a corpus once and store what they see; goes on where it stopped."""
    from avkd.pipeline.extraction.request import ExtractRequest

    chosen_inputs = _choose_inputs(inputs, sample_rate, channels, num_channels)
    if not (teacher or vector or frames or class_map or chosen_inputs):
        raise InvalidValueError(
            "nothing to extract; give --teacher, --vector, --frames, --class-map or --inputs"
        )
    frames_size, pictures = parse_frames(frames or ())
    request = ExtractRequest(
        corpus=corpus,
        store=store,
        teachers=parse_teachers(
            teacher or (),
            {
                "--weights": weights or (),
                "--classes": classes or (),
                "--stream": stream or (),
                "--picture-size": picture_size or (),
                "--maps": maps or (),
                "--per": per or (),
                "--views": views or (),
            },
            map_channels=map_channels,
            runtime=runtime.value,
            device=device.value,
            precision=precision.value,
            is_compiled=is_compiled,
            trusted=trust or (),
            batch_size=batch_size,
        ),
        clip_seconds=clip_seconds,
        step_seconds=step_seconds,
        frames_per_step=frames_per_step,
        tail=tail.value if tail else None,
        decoder=decoder.value if decoder else None,
        rows_per_shard=rows_per_shard,
        inputs=chosen_inputs,
        frames_size=frames_size,
        pictures=pictures,
        class_maps=tuple(parse_class_map(each) for each in class_map or ()),
        vectors=tuple(vector or ()),
        sparse_top_k=sparse_top_k,
        path_column=path_column,
        id_column=id_column,
        executor=executor.value,
        num_workers=workers,
        scheduler=scheduler,
        max_failure_rate=max_failure_rate,
        on_partial=on_partial.value,
        num_decode_workers=decode_workers,
        decode_limits=limit_decoding(decode_seconds, decode_memory_mb),
        stop_seconds=stop_seconds,
        check_space=not no_space_check,
        dry_run=dry_run,
    )
    report = run_extraction(request)
    if as_json:
        print_json(asdict(report))
    elif report.is_dry_run:
        print_forecast(report)
    else:
        print_report(report, request.store)


def run_extraction(request: "ExtractRequest") -> "ExtractReport":
    """Run an extraction under a progress bar."""
    from avkd.pipeline.extract import extract_teacher as run

    with show_progress() as show:

        def tell(event: "ProgressEvent") -> None:
            if event.note:
                print_note(f"note: {event.note}")
                return
            remark = _remark(event.num_failed, event.is_stopping)
            show(event.phase, event.num_done, event.num_total, remark)

        return run(request, on_progress=tell)


def _remark(num_failed: int, is_stopping: bool) -> str:
    failed = f"{num_failed} failed" if num_failed else ""
    return f"{failed} finishing the shards in hand" if is_stopping else failed


def _choose_inputs(
    inputs: options.Inputs | None,
    sample_rate: int | None,
    channels: options.Channels | None,
    num_channels: int | None,
) -> "WaveformFormat | Literal['none'] | None":
    from avkd.stages.types import WaveformFormat

    if inputs is options.Inputs.none:
        return "none"
    if inputs is None and sample_rate is None and channels is None and num_channels is None:
        return None
    if channels and num_channels:
        raise InvalidValueError(
            f"--channels {channels.value} makes one of all channels but --num-channels "
            f"{num_channels} keeps them; leave one out"
        )
    plain = WaveformFormat()
    if num_channels:
        rate = sample_rate or plain.sample_rate
        return WaveformFormat(sample_rate=rate, num_channels=num_channels, channels="all")
    return WaveformFormat(
        sample_rate=sample_rate or plain.sample_rate,
        channels=channels.value if channels else plain.channels,
    )


def limit_decoding(seconds: float | None, memory_mb: int | None) -> "DecodeLimits":
    """Give the limits of decoding, of which a user sets two."""
    from avkd.stages.media.limits import DecodeLimits

    plain = DecodeLimits()
    most = plain.clip_seconds if seconds is None else seconds
    return replace(
        plain,
        clip_seconds=most,
        no_progress_seconds=min(plain.no_progress_seconds, most),
        memory_bytes=plain.memory_bytes if memory_mb is None else memory_mb * 2**20,
    )


def print_forecast(report: "ExtractReport") -> None:
    """Print what a run has before it."""
    forecast = report.forecast
    print_facts(
        {
            "new recordings": forecast.num_new_recordings,
            "new clips": forecast.num_new_clips,
            "clips to compute": forecast.num_clips,
            "shards to compute": forecast.num_shards,
            **_say_runtimes(forecast.runtimes),
            **{
                f"{name}, uncompressed": size(num_bytes)
                for name, num_bytes in forecast.bytes_to_come.items()
            },
        }
    )
    _print_notes(report.notes)


def print_report(report: "ExtractReport", store: str) -> None:
    """Print what a run did."""
    from avkd.pipeline.extraction.stalls import tell_bottleneck

    if not report.num_shards_done:
        print_result(
            f"nothing to do: {counted(report.num_shards_skipped, 'shard')} committed, none missing"
        )
    print_facts(
        {
            "store": store,
            "recordings": report.num_recordings,
            "clips": report.num_clips,
            "shards": f"{report.num_shards_done} computed, {report.num_shards_skipped} kept",
            **_say_runtimes(report.forecast.runtimes),
            **{name: _say_counts(counts) for name, counts in report.status.items()},
            "content digest": report.content_digest,
        }
    )
    _print_notes(report.notes)
    if num_removed := report.forecast.num_removed_recordings:
        print_note(
            f"note: {counted(num_removed, 'recording')} of the corpus removed from the store "
            "and left out; `avkd remove --readmit` lets them in again"
        )
    if report.seconds:
        spent = ", ".join(f"{name} {value:.1f} s" for name, value in report.seconds.items())
        print_note(f"{report.wall_seconds:.1f} s; summed over workers: {spent}")
    for line in tell_bottleneck(report.stalls):
        print_note(line)


def _print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        print_note(f"note: {note}")


def _say_runtimes(runtimes: Mapping[str, str]) -> dict[str, str]:
    return {f"{name} is computed by": how for name, how in runtimes.items()}


def _say_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {status}" for status, number in counts.items() if number)
