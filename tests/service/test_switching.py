"""Hundreds of ROMs after one another in the memory of two."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.support.serving import Serving, children_of
from tests.support.tiny_models import make_unet
from tests.support.tiny_rom import TinyRom, build_tiny_rom

ROMS = ("one", "two", "three", "four", "five")
LAST = ("one", "two")
SWITCHES = 300
U_NET_WIDTH = 96  # 35 MB in float32


def resident_bytes(service: Serving) -> int:
    """Memory of the worker, as the kernel counts it."""
    (worker,) = children_of(service.child("gunicorn"))
    return int(Path(f"/proc/{worker}/statm").read_text().split()[1]) * 4096


@pytest.mark.soak
def test_memory_after_hundreds_of_switches_is_what_it_was_after_ten(
    start: Callable[..., Serving], tmp_path: Path
) -> None:
    roms = tmp_path / "roms"
    for seed, name in enumerate(ROMS):
        build_tiny_rom(roms / name, TinyRom(seed=seed))
        torch.manual_seed(seed)
        make_unet("sd", width=U_NET_WIDTH).save_pretrained(roms / name / "unet")
    rom_bytes = sum(path.stat().st_size for path in (roms / "one").rglob("*.safetensors"))
    settings = {"CARTRIDGE_MEMORY_BYTES": str(rom_bytes * 5 // 2), "CARTRIDGE_DTYPE": "float32"}
    service = start(CARTRIDGE_ROM_SOURCES=f"file://{roms}", CARTRIDGE_PRELOAD="none", **settings).until_ready()
    order = drawn_order()
    seen = {}
    for number, name in enumerate(order, start=1):
        answer = service.invoke(prompt="a red star", model=name, num_inference_steps=1, seed=1)
        assert answer.status_code == 200, answer.text
        seen[number] = resident_bytes(service)
    states = {rom["id"]: rom["state"] for rom in service.http.get("/info").json()["roms"]}
    assert states == dict.fromkeys(ROMS, "on_disk") | dict.fromkeys(LAST, "resident")
    assert abs(seen[SWITCHES] - seen[10]) < 0.05 * seen[10]


def drawn_order() -> list[str]:
    """No ROM twice in a row; and the same two, which stay in memory, at the end of the first ten and of all."""
    drawn, order = random.Random(7), [""]
    while len(order) <= SWITCHES:
        ends = len(order) in (8, 9, 10, SWITCHES - 2, SWITCHES - 1, SWITCHES)
        choice = LAST[len(order) % 2] if ends else drawn.choice([name for name in ROMS if name != order[-1]])
        order.append(choice)
    return order[1:]
