"""The options of `avkd extract-teacher`, some of them of `avkd retry` too, each with its help."""

from enum import StrEnum
from typing import Annotated, TypeAlias

import typer


class Executor(StrEnum):
    """Where shards are computed."""

    serial = "serial"
    processes = "processes"
    dask = "dask"


class Tail(StrEnum):
    """What becomes of a last, shorter clip."""

    keep = "keep"
    drop = "drop"


class Decoder(StrEnum):
    """Who decodes pictures."""

    pyav = "pyav"
    decord = "decord"


class Partial(StrEnum):
    """What becomes of a clip that is there in part only."""

    keep = "keep"
    drop = "drop"
    fail = "fail"


class Inputs(StrEnum):
    """The sound that students get from the store."""

    waveform = "waveform"
    none = "none"


class Channels(StrEnum):
    """How channels become one."""

    first = "first"
    mix = "mix"


class Runtime(StrEnum):
    """What computes the teachers."""

    auto = "auto"
    torch = "torch"
    onnxruntime = "onnxruntime"
    openvino = "openvino"


class Device(StrEnum):
    """Where the teachers run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Precision(StrEnum):
    """Of the teachers' arithmetic."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


CorpusPlace: TypeAlias = Annotated[
    str,
    typer.Argument(help="Folder, glob, or CSV, JSONL or Parquet table; any fsspec URL."),
]
StorePlace: TypeAlias = Annotated[str, typer.Argument(help="The store to make or to go on with.")]
TeacherNames: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        help="FAMILY or NAME=FAMILY, as often as there are teachers; a run's folder is a family, "
        "and so is the .toml that describes an ONNX or torch.export file.",
        metavar="NAME",
    ),
]
WeightFiles: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(help="NAME=PATH: a teacher's own checkpoint.", metavar="NAME=PATH"),
]
ClassFiles: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(help="NAME=PATH: a teacher's class names, one a line.", metavar="NAME=PATH"),
]
PictureStreams: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        help="NAME=STREAM: whose pictures a teacher sees; with :LOW:HIGH, 16-bit gray from LOW to "
        "HIGH.",
        metavar="NAME=STREAM",
    ),
]
PictureSizes: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        help="NAME=WIDTHxHEIGHT: the pictures shown to a detector, stretched to that.",
        metavar="NAME=SIZE",
    ),
]
MapNames: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        help="NAME=MAP,...: a detector's maps to store: attention, attention_0, features_1, ...",
        metavar="NAME=MAPS",
    ),
]
MapChannels: TypeAlias = Annotated[
    int, typer.Option(help="Project feature maps to so many channels; 0 stores all.")
]
StoredPer: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        help="NAME=clip: store one thing of a clip, not one of each step.", metavar="NAME=UNIT"
    ),
]
ViewNumbers: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        help="NAME=K: a teacher looks at K augmented views of each picture instead.",
        metavar="NAME=K",
    ),
]
ClipSeconds: TypeAlias = Annotated[float | None, typer.Option(help="Length of a clip.  [20]")]
StepSeconds: TypeAlias = Annotated[float | None, typer.Option(help="Length of a step.  [5]")]
FramesPerStep: TypeAlias = Annotated[int | None, typer.Option(help="Frames of a step.  [1]")]
TailRule: TypeAlias = Annotated[Tail | None, typer.Option(help="A last, shorter clip.  [keep]")]
PictureDecoder: TypeAlias = Annotated[
    Decoder | None,
    typer.Option(help="Of pictures; decord only where its timestamps check out.  [pyav]"),
]
RowsPerShard: TypeAlias = Annotated[int | None, typer.Option(help="Clips of a shard.")]
CachedInput: TypeAlias = Annotated[
    Inputs | None, typer.Option(help="The sound to cache for students.  [waveform]")
]
SampleRate: TypeAlias = Annotated[
    int | None, typer.Option(help="Of the cached waveform, in Hz.  [22050]")
]
ChannelRule: TypeAlias = Annotated[
    Channels | None, typer.Option(help="Of the cached waveform.  [first]")
]
NumChannels: TypeAlias = Annotated[
    int | None,
    typer.Option(help="Cache so many microphones as they are.", min=2, metavar="N"),
]
CachedFrames: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        help="Pictures to cache for students: 64x48 of rgb, cut to that shape, or of any stream, "
        "stretched, as rgb@64x48 or depth:LOW:HIGH@64x48; may come again.",
        metavar="[STREAM@]WIDTHxHEIGHT",
    ),
]
TrueClassMaps: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        help="Of a table: a column of files of 16-bit gray class numbers to store as true class "
        "maps, such as truth=classes@64x48; the column class_names names the classes.",
        metavar="NAME=COLUMN@SIZE",
    ),
]
VectorColumns: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(help="Of a table: a column of numbers to store as student input.", metavar="NAME"),
]
SparseTopK: TypeAlias = Annotated[
    int | None, typer.Option(help="Keep so many of the largest logits; 0 keeps all.  [0]")
]
PathColumn: TypeAlias = Annotated[str, typer.Option(help="Of a table: the file.")]
IdColumn: TypeAlias = Annotated[str, typer.Option(help="Of a table: the id.")]
TeacherRuntime: TypeAlias = Annotated[
    Runtime,
    typer.Option(
        help="What computes the teachers; auto: torch on cuda, else ONNX Runtime if it can."
    ),
]
TeacherDevice: TypeAlias = Annotated[Device, typer.Option(help="Where the teachers run.")]
TeacherPrecision: TypeAlias = Annotated[
    Precision, typer.Option(help="Of the teachers' arithmetic; float16 on cuda alone.")
]
Compiled: TypeAlias = Annotated[
    bool, typer.Option("--compile", help="Compile the teachers first; torch alone does.")
]
TrustedTeachers: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        help="A teacher whose torch.export file you trust: loading one may run its maker's code.",
        metavar="NAME",
    ),
]
BatchSize: TypeAlias = Annotated[int, typer.Option(help="Frames of a batch; clips, for a run.")]
ShardExecutor: TypeAlias = Annotated[Executor, typer.Option(help="Where shards are computed.")]
Workers: TypeAlias = Annotated[int, typer.Option(help="Worker processes.")]
Scheduler: TypeAlias = Annotated[
    str, typer.Option(help="Address of a dask scheduler, tcp://HOST:PORT.")
]
MaxFailureRate: TypeAlias = Annotated[
    float, typer.Option(help="Exit with 7 when a larger share of clips failed.")
]
OnPartial: TypeAlias = Annotated[
    Partial, typer.Option(help="A clip of which less can be decoded than its file declares.")
]
DecodeSeconds: TypeAlias = Annotated[
    float | None,
    typer.Option(help="Give up a clip that takes longer to decode.  [300]", min=1),
]
DecodeWorkers: TypeAlias = Annotated[
    int | None,
    typer.Option(
        help="Children that decode, of each worker; default: its share of the machine's cores, "
        "one with --scheduler.",
        min=1,
        metavar="N",
    ),
]
DecodeMemory: TypeAlias = Annotated[
    int | None, typer.Option(help="Of one process that decodes.  [4096]", min=512)
]
StopSeconds: TypeAlias = Annotated[
    float, typer.Option(help="What a signal gives the shards in hand.", min=0)
]
NoSpaceCheck: TypeAlias = Annotated[
    bool, typer.Option("--no-space-check", help="Go on where the disk may be too small.")
]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Say what is to come and write nothing.")
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print results as JSON.")]
