"""A network behind one call, by torch on a CPU or a CUDA device.

Frames or windows of sound go in as they were decoded. On a CPU torch's bits depend on the number of
threads, so it runs on one. On CUDA a batch is copied to pinned memory and from there to the device
by a stream of its own, so that the next batch travels while one is computed; results travel back by
another.
"""

import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.teachers.declaration import TORCH_CPU_THREADS, Predictions
from avkd.stages.teachers.loaded import Finish, Frames, Run
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.teachers.runtimes.sessions import say_briefly

_AUTOCAST_TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
_CXX_COMPILERS = ("g++", "clang++", "c++", "cl")
_C_COMPILERS = ("gcc", "clang", "cc", "cl")


def build_torch(
    network: nn.Module,
    output_names: Sequence[str],
    request: TeacherRequest,
    *,
    is_channels_last: bool = True,
) -> Run:
    """Put a network on the request's device.

    Args:
        network: of a batch, to a tuple of outputs.
        output_names: of these, in their order.
        request: resolved.
        is_channels_last: whether its weights may take that order, which is twice as fast on a CPU
            and changes bits; a traced network may hold views that it would break.

    Raises:
        InvalidValueError: there is no such device, or nothing to compile with.
    """
    device = _find_device(request)
    network = network.to(device)
    if is_channels_last:
        network = network.to(memory_format=torch.channels_last)
    call = _Call(network, device, request)
    if device.type == "cuda":
        return _CudaRun(call, output_names, device)
    return _CpuRun(call, output_names)


@contextmanager
def cpu_threads(num_threads: int) -> Iterator[None]:
    """Some of torch's CPU kernels sum in an order that the number of threads decides."""
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Call:
    """A network with all that its bits depend on."""

    def __init__(self, network: nn.Module, device: torch.device, request: TeacherRequest) -> None:
        self._name = request.name
        self._is_compiled = request.is_compiled
        self._device_type = device.type
        self._autocast_type = _AUTOCAST_TYPES.get(request.precision)
        self._network = network
        if request.is_compiled:
            _find_compiler(request, device)
            # One graph or none: what breaks is compiled again and again, as the pictures want it,
            # and shards would depend on those before them.
            self._network = torch.compile(network, fullgraph=True, dynamic=False)  # type: ignore[assignment]

    def __call__(self, frames: Tensor) -> Sequence[Tensor]:
        with ExitStack() as settings:
            settings.enter_context(cpu_threads(TORCH_CPU_THREADS))
            settings.enter_context(torch.inference_mode())
            if self._autocast_type is not None:
                settings.enter_context(torch.autocast(self._device_type, self._autocast_type))
            # float32 shall mean it, and the same bytes each time: neither TF32 nor trial kernels.
            settings.enter_context(
                torch.backends.cudnn.flags(
                    enabled=True, benchmark=False, deterministic=True, allow_tf32=False
                )
            )
            outputs = self._compute(frames)
            return [output if output.dtype == torch.uint8 else output.float() for output in outputs]

    def _compute(self, frames: Tensor) -> Sequence[Tensor]:
        if not self._is_compiled:
            outputs: Sequence[Tensor] = self._network(frames)
            return outputs
        from torch._dynamo.exc import TorchDynamoException

        try:
            compiled: Sequence[Tensor] = self._network(frames)
        except TorchDynamoException as error:
            raise InvalidValueError(
                f"teacher {self._name!r} does not compile as one graph ({say_briefly(error)}); "
                "leave --compile out"
            ) from error
        return compiled


class _CpuRun:
    def __init__(self, call: _Call, output_names: Sequence[str]) -> None:
        self._call = call
        self._output_names = tuple(output_names)
        # A worker may have several threads; the number of torch's is the process's, and networks
        # may keep something of a batch while they look at it.
        self._lock = threading.Lock()

    def __call__(self, frames: Frames) -> Predictions:
        with self._lock:
            outputs = self._call(torch.tensor(frames))
        return {
            name: output.numpy() for name, output in zip(self._output_names, outputs, strict=True)
        }


class _CudaRun:
    """Pinned memory is of torch's own pool, which lends a block again when its copy is done."""

    def __init__(self, call: _Call, output_names: Sequence[str], device: torch.device) -> None:
        self._call = call
        self._output_names = tuple(output_names)
        self._device = device
        self._sending = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._fetching = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._lock = threading.Lock()

    def __call__(self, frames: Frames) -> Predictions:
        return self.begin(frames)()

    def begin(self, frames: Frames) -> Finish:
        """Send a batch, the network and the way back off, each to its stream."""
        with self._lock, torch.cuda.device(self._device):
            outputs = self._call(self._send(frames))
            fetched = self._fetch(outputs)
            # Blocking: waiting in a loop would burn a core that decoders need.
            is_done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            is_done.record(self._fetching)

        def finish() -> Predictions:
            is_done.synchronize()
            return {
                name: output.numpy()
                for name, output in zip(self._output_names, fetched, strict=True)
            }

        return finish

    def _send(self, frames: Frames) -> Tensor:
        """Copy twice: the caller's array, which it may change, is not the one that travels."""
        pinned = torch.empty(frames.shape, dtype=_torch_type(frames), pin_memory=True)
        pinned.numpy()[...] = frames
        computing = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._sending):
            sent = pinned.to(self._device, non_blocking=True)
        computing.wait_stream(self._sending)
        sent.record_stream(computing)
        return sent

    def _fetch(self, outputs: Sequence[Tensor]) -> list[Tensor]:
        self._fetching.wait_stream(torch.cuda.current_stream(self._device))
        fetched = []
        with torch.cuda.stream(self._fetching):
            for output in outputs:
                pinned = torch.empty(output.shape, dtype=output.dtype, pin_memory=True)
                fetched.append(pinned.copy_(output, non_blocking=True))
                output.record_stream(self._fetching)
        return fetched


def _torch_type(frames: Frames) -> torch.dtype:
    return {"uint8": torch.uint8, "uint16": torch.uint16, "int16": torch.int16}[frames.dtype.name]


def _find_device(request: TeacherRequest) -> torch.device:
    if request.device == "cuda" and not torch.cuda.is_available():
        raise InvalidValueError(
            f"teacher {request.name!r} was declared for device cuda, which torch does not find "
            "here; run on a machine with one, or use --device cpu under another name"
        )
    return torch.device(request.device)


def _find_compiler(request: TeacherRequest, device: torch.device) -> None:
    """Look for what torch.compile builds its kernels with: C++ for a CPU, C and Triton for CUDA."""
    variable, usual = ("CXX", _CXX_COMPILERS) if device.type == "cpu" else ("CC", _C_COMPILERS)
    names = (os.environ[variable],) if os.environ.get(variable) else usual
    if not any(map(shutil.which, names)):
        raise InvalidValueError(
            f"teacher {request.name!r} is to be compiled, but no compiler is found here "
            f"({', '.join(names)}); install one, name it in {variable}, or leave --compile out"
        )
