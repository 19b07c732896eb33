"""Weight files are judged by what is in them, before anything is loaded."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from app.errors import ManifestError
from app.roms.weights import find_weights, read_header, sha256_of
from tests.support.headers import write_header, write_safetensors

TENSORS = {"a": (3, 4), "b": (5,), "scalar": ()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def refusal(path: Path) -> str:
    with pytest.raises(ManifestError) as raised:
        read_header(path)
    return raised.value.message


def test_parameters_are_counted_from_the_header(path: Path) -> None:
    assert read_header(write_safetensors(path, TENSORS)).num_parameters == 12 + 5 + 1


def test_file_without_tensors_has_no_parameters(path: Path) -> None:
    assert read_header(write_safetensors(path, {})).num_parameters == 0


def test_metadata_is_no_tensor(path: Path) -> None:
    header = json.dumps({"__metadata__": {"format": "pt"}}).encode()
    assert read_header(write_header(path, header)).num_parameters == 0


@pytest.mark.parametrize("header_bytes", [0x0280, 0x0380, 0x0480, 0x0580])
def test_header_whose_length_reads_like_a_pickle_is_still_a_header(path: Path, header_bytes: int) -> None:
    assert read_header(write_safetensors(path, TENSORS, header_bytes)).num_parameters == 18


@pytest.mark.parametrize("kept", [0, 4, 8, 20, -1])
def test_file_that_is_cut_short_is_refused(path: Path, kept: int) -> None:
    whole = write_safetensors(path, TENSORS).read_bytes()
    path.write_bytes(whole[:kept])
    assert "model.safetensors" in refusal(path)


def test_bytes_after_the_end_are_refused(path: Path) -> None:
    write_safetensors(path, TENSORS)
    path.write_bytes(path.read_bytes() + b"\0")
    assert "damaged" in refusal(path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("content", [{"weight": [0.0] * 1000}, {}])
def test_pickle_is_refused_under_any_name_with_a_way_to_convert_it(path: Path, protocol: int, content: object) -> None:
    path.write_bytes(pickle.dumps(content, protocol=protocol).ljust(16, b"."))
    message = refusal(path)
    assert "pickle" in message
    assert "cartridge roms convert model.safetensors" in message


def test_zip_as_torch_saves_is_a_pickle_too(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04" + b"\0" * 100)
    assert "pickle" in refusal(path)


@pytest.mark.parametrize(
    "header",
    [
        b"{}[]",
        b"[1, 2]",
        b'{"a": 5}',
        b'{"a": {"dtype": "F32", "shape": [1]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": []}}',
        b'{"a": {"dtype": "F32", "shape": "1", "data_offsets": [0, "4"]}}',
        b"[" * 100_000,
        b"\xff" * 40,
    ],
)
def test_header_that_is_none_is_refused(path: Path, header: bytes) -> None:
    assert "header" in refusal(write_header(path, header))


def test_other_content_is_refused(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", encoding="utf-8")
    assert "not a safetensors file" in refusal(path)


def test_missing_file_is_refused(path: Path) -> None:
    assert "model.safetensors cannot be read" in refusal(path)


PLAIN, HALF = "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors"
NON_EMA, PICKLE = "diffusion_pytorch_model.non_ema.safetensors", "diffusion_pytorch_model.bin"
PARTS = [f"diffusion_pytorch_model-0000{part}-of-00002.safetensors" for part in (1, 2)]
HALF_PARTS = [f"model.fp16-0000{part}-of-00002.safetensors" for part in (1, 2)]


@pytest.mark.parametrize(
    ("names", "variant", "chosen"),
    [
        ([PLAIN], None, [PLAIN]),
        (["model.safetensors"], None, ["model.safetensors"]),
        ([PLAIN, HALF, NON_EMA, PICKLE, "diffusion_pytorch_model.fp16.bin"], None, [PLAIN]),
        ([HALF], "fp16", [HALF]),
        ([HALF, PICKLE], "fp16", [HALF]),
        ([NON_EMA, HALF], "fp16", [HALF]),
        ([*PARTS, HALF], None, PARTS),
        ([*PARTS, PLAIN], None, [PLAIN]),
        (HALF_PARTS, "fp16", HALF_PARTS),
        (["model.safetensors", "model.onnx", "openvino_model.bin", "flax_model.msgpack"], None, ["model.safetensors"]),
        (["model.safetensors", "pytorch_lora_weights.safetensors"], None, ["model.safetensors"]),
        ([PICKLE], None, [PICKLE]),
    ],
)
def test_one_variant_is_chosen(tmp_path: Path, names: list[str], variant: str | None, chosen: list[str]) -> None:
    for name in names:
        write_safetensors(tmp_path / name, {})
    weights = find_weights(tmp_path)
    assert (weights.variant, list(weights.files)) == (variant, chosen)


@pytest.mark.parametrize("names", [[], ["config.json"], ["model.onnx"], ["pytorch_lora_weights.safetensors"]])
def test_folder_without_weights_is_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ManifestError, match=rf"component '{tmp_path.name}' has no weights"):
        find_weights(tmp_path)


def test_weights_of_which_a_part_is_missing_are_refused(tmp_path: Path) -> None:
    write_safetensors(tmp_path / PARTS[1], {})
    with pytest.raises(ManifestError, match="lacks 1 of the 2 parts of its weights"):
        find_weights(tmp_path)


def test_digest_is_sha256(path: Path) -> None:
    path.write_bytes(b"abc")
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
