"""What sharing saves, as the kernel counts it: in a process of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from app.roms.catalog import read_rom
from tests.support.tiny_models import make_unet

MIB = 1024 * 1024
LOADED = """
import json, sys
from pathlib import Path
from app.backends.options import LoadOptions
from app.backends.pool import ComponentPool
from app.backends.registry import load_backend
from app.backends.devices import prepare_cpu, return_memory
from app.roms.catalog import read_rom

def resident():
    return_memory()  # what was freed is not counted
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

prepare_cpu(1)
options, (first, second) = LoadOptions("cpu", sys.argv[1]), [read_rom(Path(path)) for path in sys.argv[2:]]
load_backend(first, options).unload()  # libraries have what they keep
pool, seen = ComponentPool(), [resident()]
one = load_backend(first, options, pool)
seen.append(resident())
other = load_backend(second, options, pool)
seen.append(resident())
other.unload()
seen.append(resident())
one.unload()
seen.append(resident())
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def roms(tiny_rom: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two that differ in the weights of their U-Nets, of 100 MB each."""
    root = tmp_path_factory.mktemp("large")
    for name, seed in (("first", 1), ("second", 2)):
        directory = shutil.copytree(tiny_rom, root / name)
        torch.manual_seed(seed)
        make_unet("sd", width=224).save_pretrained(directory / "unet")
    return root / "first", root / "second"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rom_with_another_u_net_costs_one_u_net_more_and_gives_it_back(roms: tuple[Path, Path], dtype: str) -> None:
    program = [sys.executable, "-c", LOADED, dtype, *map(str, roms)]
    output = subprocess.run(program, check=True, capture_output=True, text=True).stdout
    none, one, both, one_again, none_again = json.loads(output)
    unet = next(component for component in read_rom(roms[0]).components if component.name == "unet")
    unet_bytes = unet.num_parameters * (4 if dtype == "float32" else 2)
    assert unet_bytes > 40 * MIB
    assert both - one == pytest.approx(unet_bytes, abs=8 * MIB)
    assert one_again == pytest.approx(one, abs=8 * MIB)
    assert none_again == pytest.approx(none, abs=8 * MIB)
