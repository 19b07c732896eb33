"""The U-Net in OpenVINO against the same one in torch, and the files that it is kept in."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from app.backends.base import Conditioning
from app.backends.openvino_denoiser import OpenVinoDenoiser
from app.backends.openvino_files import MODEL, convert_once, folder_of
from app.backends.options import LoadOptions
from app.backends.registry import load_backend
from app.backends.torch_denoiser import TorchDenoiser
from app.backends.unet import Denoiser
from app.errors import ManifestError
from app.roms.catalog import Rom, read_rom
from app.roms.manifest import RomFile, RomManifest
from app.roms.weights import sha256_of
from tests.support.tiny_rom import TinyRom, build_tiny_rom

CLASS = "UNet2DConditionModel"
WIDTH = 32  # of the prompt's states
POOLED = 24  # of the prompt as a whole
TOLERANCE = 1e-4  # of the largest value
ROUGH_DB = 30.0  # what bfloat16 leaves; with the timestep in bfloat16 as well it is less
SHAPES = [(1, 8, 8), (2, 8, 8), (3, 4, 8), (2, 9, 13), (5, 7, 8), (1, 32, 16)]
XL = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": POOLED + 6 * 8,
    "use_linear_projection": True,
    "transformer_layers_per_block": [1, 2],
}


def make_unet_rom(directory: Path, **config: Any) -> Rom:
    """A ROM that has nothing but a U-Net."""
    blocks = {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D")}
    blocks |= {"up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D")}
    sizes = {"block_out_channels": (32, 64), "layers_per_block": 1, "cross_attention_dim": WIDTH, "sample_size": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        unet = UNet2DConditionModel(**blocks | sizes | {"attention_head_dim": 8} | config)
    unet.save_pretrained(directory / "unet", safe_serialization=True)
    return Rom(RomManifest(id="unet", family="stable_diffusion"), directory)


def in_torch(rom: Rom, dtype: torch.dtype) -> Denoiser:
    unet = UNet2DConditionModel.from_pretrained(rom.directory / "unet", dtype=dtype, local_files_only=True)
    return TorchDenoiser(unet.eval().requires_grad_(False), frozenset())


@pytest.fixture(scope="module", params=["sd", "xl"])
def rom(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Rom:
    return make_unet_rom(tmp_path_factory.mktemp("unet"), **(XL if request.param == "xl" else {}))


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def denoiser(request: pytest.FixtureRequest, rom: Rom, openvino_cache: Path) -> OpenVinoDenoiser:
    return OpenVinoDenoiser(convert_once(rom, CLASS, request.param, openvino_cache), request.param)


@dataclasses.dataclass(frozen=True)
class Inputs:
    latents: torch.Tensor
    timestep: torch.Tensor
    states: torch.Tensor
    added: dict[str, torch.Tensor] | None

    @classmethod
    def make(cls, denoiser: Denoiser, shape: tuple[int, int, int], length: int = 16) -> Inputs:
        rows, *sides = shape
        draw = torch.Generator().manual_seed(sum(shape))
        added = None
        if denoiser.traits.addition_embed_type:
            sizes = torch.tensor([1024.0, 768.0, 0.0, 16.0, 1024.0, 768.0])
            added = {"text_embeds": torch.randn(rows, POOLED, generator=draw), "time_ids": sizes.repeat(rows, 1)}
        latents = torch.randn(rows, denoiser.traits.in_channels, *sides, generator=draw)
        timestep = torch.rand(rows, generator=draw) * 999
        return cls(latents, timestep, torch.randn(rows, length, WIDTH, generator=draw), added)

    def predict(self, denoiser: Denoiser) -> torch.Tensor:
        added = {name: tensor.to(denoiser.dtype) for name, tensor in self.added.items()} if self.added else None
        prompts = [Conditioning(states, keys_values=denoiser.read(states)) for states in self.states.to(denoiser.dtype)]
        with torch.inference_mode():
            return denoiser.predict(self.latents, self.timestep, prompts, added)


@pytest.mark.parametrize("shape", SHAPES)
def test_prediction_is_that_of_torch_in_float32(rom: Rom, denoiser: OpenVinoDenoiser, shape: Any) -> None:
    inputs = Inputs.make(denoiser, shape)
    theirs, ours = inputs.predict(in_torch(rom, torch.float32)), inputs.predict(denoiser)
    assert ours.dtype == torch.float32 and ours.shape == theirs.shape
    error = ours - theirs
    if denoiser.dtype == torch.float32:
        assert float(error.abs().max()) <= TOLERANCE * float(theirs.abs().max())
    assert 10 * torch.log10(theirs.square().mean() / error.square().mean()) >= ROUGH_DB


def test_prompts_of_any_length_are_read(rom: Rom, denoiser: OpenVinoDenoiser) -> None:
    for length in (1, 16, 48):
        inputs = Inputs.make(denoiser, (2, 8, 8), length)
        theirs = inputs.predict(in_torch(rom, torch.float32))
        error = inputs.predict(denoiser) - theirs
        assert 10 * torch.log10(theirs.square().mean() / error.square().mean()) >= ROUGH_DB


def test_prediction_outlives_the_next_one(denoiser: OpenVinoDenoiser) -> None:
    """The runtime writes every result to the same place."""
    first, second = Inputs.make(denoiser, (2, 8, 8)), Inputs.make(denoiser, (2, 8, 8), length=3)
    output = first.predict(denoiser)
    before = output.clone()
    second.predict(denoiser)
    assert torch.equal(output, before)
    assert torch.equal(first.predict(denoiser), before)


def test_what_is_known_of_it_is_what_torch_knows(rom: Rom, denoiser: OpenVinoDenoiser) -> None:
    other = in_torch(rom, denoiser.dtype)
    mine = (denoiser.traits, denoiser.device, denoiser.dtype, denoiser.nbytes)
    assert mine == (other.traits, other.device, other.dtype, other.nbytes)


def test_file_holds_each_weight_once_in_its_precision(
    rom: Rom, denoiser: OpenVinoDenoiser, openvino_cache: Path
) -> None:
    weights = (convert_once(rom, CLASS, denoiser.dtype, openvino_cache) / MODEL).with_suffix(".bin")
    assert weights.stat().st_size == pytest.approx(denoiser.nbytes, rel=0.05)


def test_wrong_shape_is_a_runtime_error_and_the_next_prediction_works(denoiser: OpenVinoDenoiser) -> None:
    inputs = Inputs.make(denoiser, (2, 8, 8))
    before = inputs.predict(denoiser)
    with pytest.raises(RuntimeError):
        dataclasses.replace(inputs, latents=inputs.latents[:, :3]).predict(denoiser)
    assert torch.equal(inputs.predict(denoiser), before)


def test_folder_stays_where_the_unet_does_and_changes_with_it(rom: Rom, tmp_path: Path, openvino_cache: Path) -> None:
    def folder(some: Rom, dtype: torch.dtype = torch.float32) -> Path:
        return folder_of(some, CLASS, dtype, openvino_cache)

    first = convert_once(rom, CLASS, torch.float32, openvino_cache)
    written = (first / MODEL).stat().st_mtime_ns
    assert convert_once(rom, CLASS, torch.float32, openvino_cache) == first == folder(rom)
    assert (first / MODEL).stat().st_mtime_ns == written
    others = [make_unet_rom(tmp_path / str(size), sample_size=size) for size in (16, 24)]
    assert len({first, folder(rom, torch.bfloat16), *map(folder, others)}) == 4


def test_other_weights_have_another_folder(tmp_path: Path) -> None:
    rom = make_unet_rom(tmp_path / "rom")
    before = folder_of(rom, CLASS, torch.float32, tmp_path)
    weights = next((rom.directory / "unet").glob("*.safetensors"))
    content, status = bytearray(weights.read_bytes()), weights.stat()
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert folder_of(rom, CLASS, torch.float32, tmp_path) != before


def test_digests_of_the_manifest_stand_for_the_files(rom: Rom, tmp_path: Path) -> None:
    paths = [path for path in (rom.directory / "unet").iterdir() if path.is_file()]
    files = tuple(
        RomFile(path=f"unet/{path.name}", bytes=path.stat().st_size, sha256=sha256_of(path)) for path in paths
    )
    listed = dataclasses.replace(rom, manifest=rom.manifest.model_copy(update={"files": files}))
    expected = folder_of(rom, CLASS, torch.float32, tmp_path)
    assert folder_of(listed, CLASS, torch.float32, tmp_path) == expected


def test_two_that_convert_at_once_get_one_whole_folder(tmp_path: Path) -> None:
    """Also where another was killed half-way."""
    rom, cache = make_unet_rom(tmp_path / "rom"), tmp_path / "cache"
    folder = folder_of(rom, CLASS, torch.float32, cache)
    part = folder.with_suffix(".part")
    part.mkdir(parents=True)
    (part / MODEL).write_text("cut sh")
    with ThreadPoolExecutor(2) as pool:
        convert = [pool.submit(convert_once, rom, CLASS, torch.float32, cache) for _ in range(2)]
        assert [one.result() for one in convert] == [folder, folder]
    assert [path for path in cache.iterdir() if path.is_dir()] == [folder]
    denoiser = OpenVinoDenoiser(folder, torch.float32)
    assert Inputs.make(denoiser, (1, 8, 8)).predict(denoiser).isfinite().all()


def test_damaged_folder_is_named(tmp_path: Path, tiny_rom: Path, openvino_cache: Path) -> None:
    rom = read_rom(tiny_rom)
    whole = convert_once(rom, CLASS, torch.float32, openvino_cache)
    damaged = tmp_path / "openvino" / whole.name
    shutil.copytree(whole, damaged)
    (damaged / MODEL).write_text("cut sh")
    with pytest.raises(ManifestError, match=f"{whole.name} is damaged"):
        load_backend(rom, LoadOptions("cpu", "float32", runtime="openvino", cache_dir=tmp_path))


def test_unet_that_cannot_be_converted_breaks_its_rom_alone(tmp_path: Path) -> None:
    directory = build_tiny_rom(tmp_path / "rom", TinyRom(seed=9))
    config = directory / "unet" / "config.json"
    config.write_text(config.read_text().replace('"time_embedding_type": "positional"', '"time_embedding_type": "odd"'))
    with pytest.raises(ManifestError, match="cannot be converted for OpenVINO: ValueError: odd"):
        load_backend(read_rom(directory), LoadOptions("cpu", runtime="openvino", cache_dir=tmp_path / "cache"))


def test_nothing_of_openvino_is_imported_without_being_asked(tiny_rom: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from app.backends.options import LoadOptions;"
        " from app.backends.registry import load_backend; from app.roms.catalog import read_rom;"
        f" load_backend(read_rom(Path({str(tiny_rom)!r})), LoadOptions('cpu'));"
        " sys.exit(any(name.startswith('openvino') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": ":".join(sys.path)}, check=True)


def test_vendor_is_not_told_of_imports() -> None:
    program = (
        "import sys; from app.backends.openvino_package import import_openvino; import_openvino();"
        " sys.exit(any(name.startswith('openvino_telemetry.') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": ":".join(sys.path)}, check=True)
