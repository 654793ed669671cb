"""The machine: versions against pins, disk, memory, device."""

from __future__ import annotations

import math
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

import mtl
from mtl.doctor.result import CheckResult, fault, ok, warning
from mtl.settings import Settings, trainer_processes

GB = 1e9
_PACKAGE = "mtl-retrain"
_CENTRAL = ("torch", "transformers", "peft", "datasets", "prefect", "mlflow", "fastapi", "sqlalchemy", "boto3")


def versions(constraints: Path | None = None) -> Iterator[CheckResult]:
    """Packages against the ranges of this package (faults) and the pins it was tested with (warnings)."""
    from packaging.requirements import Requirement

    pins = _pins(constraints or Path(mtl.__file__).parents[1] / "constraints.txt")
    wanted = [Requirement(text) for text in metadata.requires(_PACKAGE) or []]
    apart, other = [], []
    for requirement in wanted:
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        found = _installed(requirement.name)
        if found is None or not requirement.specifier.contains(found, prereleases=True):
            apart.append(f"{requirement.name} is {found or 'missing'}, needed is {requirement.specifier}")
        elif (pin := pins.get(_plain(requirement.name))) and found.partition("+")[0] != pin:
            other.append(f"{requirement.name} is {found}, tested was {pin}")
    if apart:
        yield fault("versions", "; ".join(apart), "run make install, or pip install -c constraints.txt mtl-retrain")
    if other:
        yield warning(
            "versions", "; ".join(other), "run pip install -c constraints.txt mtl-retrain to get the tested versions"
        )
    if not apart and not other:
        central = ", ".join(f"{name} {_installed(name)}" for name in _CENTRAL)
        yield ok(
            "versions",
            f"Python {sys.version.split()[0]}, {central}" + ("" if pins else " (no constraints.txt to compare)"),
        )


def _pins(path: Path) -> Mapping[str, str]:
    """name -> pinned version, from a constraints file; nothing where there is none (a wheel does not carry it)."""
    if not path.is_file():
        return {}
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    pairs = (line.partition("==") for line in lines if "==" in line)
    return {_plain(name): pin.strip() for name, _, pin in pairs}


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-")


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def disk(home: Path, *, needed: float = 2 * GB, roomy: float = 10 * GB) -> Iterator[CheckResult]:
    """Free space in bytes where state and temporary files go: a fault under `needed`, a warning under `roomy`."""
    places = {"MTL_HOME": _existing(home), "temporary files": Path(tempfile.gettempdir())}
    for name, path in places.items():
        free = shutil.disk_usage(path).free
        detail = f"{free / GB:.1f} GB free for {name} ({path})"
        do = "run mtl checkpoints prune --yes, delete $MTL_HOME/cache, or set MTL_HOME (or TMPDIR) to a larger disk"
        if free < needed:
            yield fault("disk", detail, do)
        elif free < roomy:
            yield warning("disk", detail, do)
        else:
            yield ok("disk", detail)


def writable(home: Path) -> Iterator[CheckResult]:
    """State can be written, by its owner alone."""
    place = _existing(home)
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"x")
    except OSError as error:
        do = "set MTL_HOME to a folder that you may write to, or free space on its disk"
        yield fault("state", f"cannot write to {place} (MTL_HOME is {home}): {error.strerror}", do)
        return
    yield ok("state", f"{home} can be written" if place == home else f"{home} will be made")


def _existing(path: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def memory(
    *, needed: float = 1.5 * GB, roomy: float = 4 * GB, control_groups: Path = Path("/sys/fs/cgroup")
) -> Iterator[CheckResult]:
    """Available memory in bytes: the demo's trainer and flow take 2.4 GB together, FLAN-T5-base 6 GB and more.

    A container has no more than its control group, whatever its host has.
    """
    import psutil

    found, limit = psutil.virtual_memory(), _memory_limit(control_groups)
    available, total = min(found.available, limit), min(found.total, limit)
    detail = f"{available / GB:.1f} of {total / GB:.1f} GB available"
    do = "end other processes, use a larger machine, or lower train.max_tokens_per_batch and data.max_input_tokens"
    if available < needed:
        yield fault("memory", detail, do)
    elif available < roomy:
        yield warning("memory", detail, do)
    else:
        yield ok("memory", detail)


def _memory_limit(control_groups: Path) -> float:
    """Bytes that this container may use; infinite outside of one."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # version 2, version 1
        try:
            text = (control_groups / name).read_text().strip()
        except OSError:
            continue
        return int(text) if text.isdecimal() else math.inf
    return math.inf


def device(settings: Settings) -> Iterator[CheckResult]:
    """What trainings would run on, and whether MTL_TRAINER_PROCESSES suits it."""
    import torch

    processes = trainer_processes()
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        threads = torch.get_num_threads()
        if shutil.which("nvidia-smi") and torch.version.cuda is None:
            do = "install a CUDA build of torch: pip install -c constraints.txt torch --index-url URL_OF_THAT_BUILD"
            yield warning("device", "there is an NVIDIA driver, but this torch is built for the CPU", do)
        else:
            yield ok("device", f"CPU, {threads} threads; no GPU")
        return
    names = ", ".join(torch.cuda.get_device_name(number) for number in range(count))
    if processes > count:
        do = f"set MTL_TRAINER_PROCESSES to {count} or less"
        yield fault("device", f"MTL_TRAINER_PROCESSES is {processes}, but there are {count} GPUs ({names})", do)
    elif not torch.cuda.is_bf16_supported():
        yield warning("device", f"{names} does not support bf16", "set train.precision to fp32: T5 overflows in fp16")
    else:
        yield ok("device", f"{count} GPU: {names}, used by {processes} process(es) of a training")
