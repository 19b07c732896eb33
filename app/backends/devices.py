"""Which device, and which precision on it."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from pathlib import Path

import torch

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))  # v2, v1
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # of malloc.h


def pick_device(name: str) -> torch.device:
    """`auto` is the first GPU, or else the CPU."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("cpu")


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 where the hardware multiplies it; elsewhere float32 on a CPU, float16 on a GPU."""
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    if device.type != "cuda":
        return torch.bfloat16 if cpu_multiplies_bfloat16() else torch.float32
    # A T4 says it supports bfloat16; it only emulates it, slowly and in more memory.
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def cpu_multiplies_bfloat16() -> bool:
    """Whether the CPU has instructions for it; others emulate it, slowly."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


def cpu_multiplies_in_tiles() -> bool:
    """Whether the CPU has AMX, for which torch's attention is written."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


def device_memory_bytes(name: str) -> int:
    device = pick_device(name)
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return host_memory_bytes()


def host_memory_bytes() -> int:
    """The machine's memory, or what of it a container may take."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = (path.read_text(encoding="ascii").strip() for path in _CGROUP_LIMITS if path.is_file())
    return min([machine, *(int(limit) for limit in limits if limit.isdecimal())])


def default_budget(name: str) -> int:
    """For weights and one image: nine tenths of a GPU's memory, or half of the machine's."""
    whole = device_memory_bytes(name)
    return whole * 9 // 10 if pick_device(name).type == "cuda" else whole // 2


def free_bytes(device: torch.device) -> int:
    """Memory that a forward may take now: of the GPU, or what the kernel counts as available."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    with open("/proc/meminfo", encoding="ascii") as lines:
        fields = dict(line.split(":", 1) for line in lines)
    return int(fields["MemAvailable"].split()[0]) * 1024


def prepare_cpu(threads: int) -> None:
    """Set the threads of one operation, 0 leaves one a core; and let freed memory stay for the next operation.

    Otherwise every large tensor is new memory that the kernel fills with zeros: a tenth of a step of Stable Diffusion.
    All threads allocate from one arena: of those of other threads, `return_memory` could not give back all.
    """
    if threads:
        torch.set_num_threads(threads)
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, musl does not
    if set_option is not None and not any(name.startswith("MALLOC_") for name in os.environ):
        set_option(_M_ARENA_MAX, 1)
        set_option(_M_MMAP_MAX, 0)
        set_option(_M_TRIM_THRESHOLD, 2**31 - 1)


def return_memory() -> None:
    """Give freed memory back to the device and to the operating system, which allocators otherwise keep."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl does not
        if trim is not None:
            trim(0)
