"""`advice`: which instance for which ROMs, and why. No prices: they differ by region and change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from deploy.sagemaker.instances import GIB, INSTANCES, Instance
from deploy.sagemaker.sizes import RomSize

_IMAGE_HEAVY_BYTES = 2 * GIB  # weights beyond which a step takes seconds on a CPU
_SHOWN = ("g4dn", "g5", "g6", "g6e", "p5.4x", "m7i", "c7i")


def cpu_factor(instance: Instance) -> int:
    """How much larger weights are than in half precision: CPUs without bfloat16 hold float32."""
    return 1 if instance.gpus else 2


def fits(instance: Instance, sizes: Sequence[RomSize], *, together: bool = True) -> bool:
    """Whether the weights of all, or of each by itself, are resident beside one image."""
    images = max((size.image_bytes for size in sizes), default=0)
    weights = [size.weights_bytes for size in sizes]
    taken = sum(weights) + images if together else max((size.memory_bytes for size in sizes), default=0)
    return taken * cpu_factor(instance) <= instance.rom_bytes


def first_fitting(sizes: Sequence[RomSize]) -> str:
    """The smallest type with one GPU that holds them all at once."""
    single = sorted((one for one in INSTANCES.values() if one.gpus == 1), key=lambda one: (one.gpu_mib, one.vcpus))
    return next((one.name for one in single if fits(one, sizes)), "no type with one GPU")


def advice_lines(sizes: Sequence[RomSize]) -> Iterator[str]:
    """The ROMs, the instances, and one sentence what to take."""
    yield f"{'ROM':<24}{'WEIGHTS':>10}{'LARGEST IMAGE':>15}{'ON DISK':>10}"
    for size in sizes:
        cells = (_gib(size.weights_bytes), _gib(size.image_bytes), _gib(size.disk_bytes))
        yield f"{size.id:<24}{cells[0]:>10}{cells[1]:>15}{cells[2]:>10}"
    yield ""
    yield f"{'INSTANCE':<18}{'VCPU':>5}{'MEMORY':>9}  {'GPU':<6}{'FOR ROMS':>9}  VERDICT"
    for one in INSTANCES.values():
        if one.architecture == "amd64" and one.gpus <= 1 and any(mark in one.name for mark in _SHOWN):
            cells = (f"{one.memory_gib} GiB", one.gpu or "-", _gib(one.rom_bytes))
            yield f"{one.name:<18}{one.vcpus:>5}{cells[0]:>9}  {cells[1]:<6}{cells[2]:>9}  {_verdict(one, sizes)}"
    yield ""
    yield _sentence(sizes)


def _verdict(instance: Instance, sizes: Sequence[RomSize]) -> str:
    if fits(instance, sizes):
        return (
            "all resident at once" if instance.gpus or not _is_heavy(sizes) else "fits, but steps take seconds on a CPU"
        )
    if fits(instance, sizes, together=False):
        return "each alone: ROMs push each other out, and a switch loads from memory or disk"
    return "too small for " + max(sizes, key=lambda size: size.memory_bytes).id


def _sentence(sizes: Sequence[RomSize]) -> str:
    if not _is_heavy(sizes):
        return "These ROMs are small: a CPU type, or serverless, serves them; a GPU pays off under steady load."
    return (
        f"Take {first_fitting(sizes)}: the smallest GPU that holds them all. g5 and g6 have the same memory: list both "
        "and the second is taken where the first is sold out. g6e has twice that. One GPU is used: take more instances "
        "in place of a type with several."
    )


def _is_heavy(sizes: Sequence[RomSize]) -> bool:
    return any(size.weights_bytes > _IMAGE_HEAVY_BYTES // 2 for size in sizes)


def _gib(nbytes: float) -> str:
    return f"{nbytes / GIB:.2f} GiB"
