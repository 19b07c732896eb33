"""Of the ROMs: they are whole, they fit, and there is time to bring them."""

from __future__ import annotations

from urllib.parse import urlsplit

from deploy.sagemaker.advice import cpu_factor, first_fitting
from deploy.sagemaker.instances import INSTANCES
from deploy.sagemaker.preflight.facts import Facts
from deploy.sagemaker.preflight.verdict import Verdict, failed, passed, warned
from deploy.sagemaker.sizes import RomSize
from deploy.sagemaker.timeouts import MOST_S, SERVERLESS_START_S, chosen_times, needed_times

_GB = 10**9
_MIB = 1024**2
_EBS_DEFAULT_GB = 30  # of hosting instances without a local disk, as SageMaker has long given them; not documented
_SERVERLESS_DISK_GB = 5


def check_roms(facts: Facts) -> Verdict:
    config = facts.config
    found = facts.roms
    if not found.sizes and not found.broken:
        return failed(f"{config.roms.source} holds no ROM", "run: python -m deploy roms push")
    named = {*(config.roms.preload if isinstance(config.roms.preload, tuple) else ()), *config.roms.pin}
    named |= set(config.roms.ready) if isinstance(config.roms.ready, tuple) else set()
    if missing := sorted(named - found.sizes.keys()):
        there = ", ".join(sorted(found.sizes)) or "none"
        return failed(f"{missing[0]!r} is named in the file, and there are: {there}", "push it, or change roms")
    if config.roms.delivery == "mount" and (empty := _empty_keys(facts)):
        return failed(f"the key {empty[0]!r} has no bytes: SageMaker takes it for a folder and fails", "delete it")
    if found.broken:
        rom_id, reason = next(iter(found.broken.items()))
        told = f"{rom_id} is broken: {reason}"
        return warned(told, "push it again") if found.sizes else failed(told, "push it again")
    return passed(f"{', '.join(sorted(found.sizes))}: {found.disk_bytes:,} bytes")


def check_memory(facts: Facts) -> Verdict:
    sizes, config = list(facts.roms.sizes.values()), facts.config
    for name, budget, factor in _budgets(facts):
        largest = max(sizes, key=lambda size: size.memory_bytes)
        if largest.memory_bytes * factor > budget:
            return failed(
                f"{largest.id} with its largest image takes {_gib(largest.memory_bytes * factor)}, "
                f"{name} has {_gib(budget)}",
                f"take {first_fitting([largest])} or larger (see `advice`), or lower the ROM's limits.max_pixels",
            )
        pinned = [size for size in sizes if size.id in config.roms.pin]
        if pinned and _together(pinned) * factor > budget:
            return failed(
                f"what is pinned takes {_gib(_together(pinned) * factor)}, {name} has {_gib(budget)}", "pin less"
            )
    name, budget, factor = min(_budgets(facts), key=lambda one: one[1])
    preloaded = facts.roms.preloaded(config.roms)
    if preloaded and _together(preloaded) * factor > budget:
        told = f"not all that is preloaded fits: {_gib(_together(preloaded) * factor)}, {name} has {_gib(budget)}"
        return warned(told, f"preload less, or take {first_fitting(preloaded)}; ROMs will push each other out")
    return passed(f"{_gib(_together(preloaded or sizes) * factor)} of {_gib(budget)} on {name}")


def check_disk(facts: Facts) -> Verdict:
    """Mounted or pulled, all ROMs are on it."""
    nbytes = facts.roms.disk_bytes
    for name, capacity_gb in _disks(facts):
        if nbytes * 1.1 > capacity_gb * _GB:
            return failed(
                f"the ROMs are {nbytes / _GB:.1f} GB, {name} has {capacity_gb} GB",
                f"set instances.volume_gb to {int(nbytes * 1.2 / _GB) + 20}, or take a type with a local disk",
            )
    return passed(f"{nbytes / _GB:.1f} GB of {min(capacity for _, capacity in _disks(facts))} GB")


def check_startup(facts: Facts) -> Verdict:
    config = facts.config
    needed, chosen = needed_times(config, facts.roms), chosen_times(config, facts.roms)
    if config.kind == "serverless":
        if needed.startup_s > SERVERLESS_START_S:
            return failed(
                f"it needs {needed.startup_s} s, a serverless start may take {SERVERLESS_START_S}", "preload less"
            )
        return passed(f"{needed.startup_s} s of {SERVERLESS_START_S}")
    pairs = (("download_s", needed.download_s, chosen.download_s), ("startup_s", needed.startup_s, chosen.startup_s))
    for name, wanted, has in pairs:
        if wanted > MOST_S:
            advice = "preload fewer ROMs with roms.delivery pull; the rest comes when it is asked for"
            return failed(f"{name}: {wanted} s are needed for these bytes, SageMaker takes {MOST_S}", advice)
        if has < wanted:
            return failed(f"timeouts.{name} is {has}, {wanted} are needed for these bytes", "leave it out, or raise it")
    return passed(f"download {chosen.download_s} s, start {chosen.startup_s} s")


def _budgets(facts: Facts) -> list[tuple[str, int, int]]:
    """Of each type that may run: name, bytes for ROMs, how much larger weights are there than in half precision."""
    if part := facts.config.serverless:
        return [(f"serverless with {part.memory_mb} MB", part.memory_mb * _MIB // 2, 2)]
    return [(one.name, one.rom_bytes, cpu_factor(one)) for one in facts.instances]


def _disks(facts: Facts) -> list[tuple[str, int]]:
    if facts.config.instances is None:
        return [("serverless", _SERVERLESS_DISK_GB)]
    volume_gb = facts.config.instances.volume_gb or _EBS_DEFAULT_GB
    return [(name, INSTANCES[name].nvme_gb or volume_gb) for name in facts.config.instances.types]


def _together(sizes: list[RomSize]) -> int:
    """All weights, and one image of the ROM whose images are largest."""
    return sum(size.weights_bytes for size in sizes) + max(size.image_bytes for size in sizes)


def _empty_keys(facts: Facts) -> list[str]:
    address = urlsplit(facts.config.roms.source)
    asked = {"Bucket": address.netloc, "Prefix": address.path.lstrip("/")}
    return [
        item["Key"] for item in facts.calls.pages("s3", "list_objects_v2", "Contents", **asked) if item["Size"] == 0
    ]


def _gib(nbytes: float) -> str:
    return f"{nbytes / 1024**3:.2f} GiB"
