"""SageMaker's multi-model contract: the platform unpacks models, and says which are to be in memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.roms.catalog import read_rom
from app.roms.memory import predict_need
from tests.service.conftest import Start
from tests.support.roms import write_manifest
from tests.support.serving import Serving, problem, serving
from tests.support.tiny_rom import TinyRom, build_tiny_rom

MODELS = ("first", "second", "third")


@pytest.fixture(scope="module")
def unpacked(tiny_rom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models as the platform lays them out: `<name>/model`, each a diffusers directory without a rom.yaml."""
    root = tmp_path_factory.mktemp("models")
    for name in MODELS:
        shutil.copytree(tiny_rom, root / name / "model")
        (root / name / "model" / "rom.yaml").unlink(missing_ok=True)
    return root


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A container of a multi-model endpoint: there is no model yet."""
    directory = tmp_path_factory.mktemp("hosting")
    (directory / "roms").mkdir()
    with serving(
        directory, CARTRIDGE_ROM_SOURCES=f"file://{directory / 'roms'}", SAGEMAKER_MULTI_MODEL="true"
    ) as started:
        yield started.until_ready()


@pytest.fixture
def hosting(empty: Serving) -> Iterator[Serving]:
    yield empty
    for model in empty.http.get("/models").json()["models"]:
        empty.http.delete(f"/models/{model['modelName']}")


def load(service: Serving, unpacked: Path, name: str) -> dict[str, str]:
    body = {"model_name": name, "url": str(unpacked / name / "model")}
    answer = service.http.post("/models", json=body)
    assert answer.status_code == 200, answer.text
    described: dict[str, str] = answer.json()
    return described


def test_a_container_without_models_is_ready(hosting: Serving) -> None:
    assert hosting.http.get("/ping").status_code == 200
    assert hosting.http.get("/models").json() == {"models": []}


def test_a_loaded_model_is_described_listed_and_served(hosting: Serving, unpacked: Path) -> None:
    described = {"modelName": "first", "modelUrl": str(unpacked / "first" / "model")}
    assert load(hosting, unpacked, "first") == described
    assert hosting.http.get("/models/first").json() == described
    assert hosting.http.get("/models").json() == {"models": [described]}
    headers = {"X-Amzn-SageMaker-Target-Model": "somewhere/first.tar.gz"}
    answer = hosting.http.post(
        "/models/first/invoke", json={"prompt": "a red star", "num_inference_steps": 2}, headers=headers
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == "first"
    assert answer.json()["routing"]["resident"]


def test_a_model_that_is_loaded_is_not_loaded_again(hosting: Serving, unpacked: Path) -> None:
    load(hosting, unpacked, "first")
    answer = hosting.http.post("/models", json={"model_name": "first", "url": str(unpacked / "first" / "model")})
    assert problem(answer, 409, "model_conflict")["param"] == "model_name"


def test_an_unloaded_model_is_gone_and_so_is_its_memory(hosting: Serving, unpacked: Path) -> None:
    load(hosting, unpacked, "first")
    assert hosting.metric("cartridge_resident_bytes") > 0
    assert hosting.http.delete("/models/first").status_code == 200
    assert hosting.metric("cartridge_resident_bytes") == 0
    body = {"prompt": "a red star"}
    for answer in (
        hosting.http.get("/models/first"),
        hosting.http.delete("/models/first"),
        hosting.http.post("/models/first/invoke", json=body),
    ):
        assert problem(answer, 404, "unknown_model")["param"] == "model_name"


def test_a_request_may_name_the_model_as_the_platform_does(hosting: Serving, unpacked: Path) -> None:
    load(hosting, unpacked, "first")
    answer = hosting.http.post("/models/first/invoke", json={"prompt": "a red star", "model": "first"})
    assert answer.status_code == 200, answer.text


def test_a_request_for_another_model_than_its_address_names_is_refused(hosting: Serving, unpacked: Path) -> None:
    load(hosting, unpacked, "first")
    answer = hosting.http.post("/models/first/invoke", json={"prompt": "a red star", "model": "second"})
    assert problem(answer, 422, "invalid_request")["param"] == "model"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"url": "/opt/ml/models/a/model"}, "model_name"),
        ({"model_name": "a"}, "url"),
        ({"model_name": "a", "url": 3}, "url"),
        ({"model_name": "a", "url": "/nowhere"}, "url"),
        ({"model_name": "a", "url": "/" + 5000 * "a"}, "url"),
        ({"model_name": "a", "url": "/nowhere", "colour": "red"}, "colour"),
    ],
)
def test_a_wrong_load_names_the_field(hosting: Serving, body: dict[str, object], param: str) -> None:
    answer = hosting.http.post("/models", json=body)
    assert problem(answer, 422, "invalid_request")["param"] == param


def test_a_model_may_be_an_archive(hosting: Serving, tiny_rom: Path, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "packed" / "model" / "tiny"), "gztar", tiny_rom)
    load(hosting, tmp_path, "packed")
    assert hosting.http.post("/models/packed/invoke", json={"prompt": "x", "num_inference_steps": 1}).status_code == 200


def test_a_broken_model_is_refused_with_the_reason_and_the_others_serve(
    hosting: Serving, unpacked: Path, tiny_rom: Path, tmp_path: Path
) -> None:
    load(hosting, unpacked, "first")
    shutil.copytree(tiny_rom, tmp_path / "model")
    (tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    answer = hosting.http.post("/models", json={"model_name": "broken", "url": str(tmp_path / "model")})
    assert "'unet' has no weights" in problem(answer, 503, "rom_unavailable")["message"]
    assert [model["modelName"] for model in hosting.http.get("/models").json()["models"]] == ["first"]


def test_many_models_are_listed_by_pages(hosting: Serving, tmp_path: Path) -> None:
    write_manifest(tmp_path / "rom")
    names = [f"model {number:03}" for number in range(105)]
    for name in names:
        body = {"model_name": name, "url": str(tmp_path / "rom")}
        assert hosting.http.post("/models", json=body).status_code == 200
    first = hosting.http.get("/models").json()
    second = hosting.http.get("/models", params={"next_page_token": first["nextPageToken"]}).json()
    assert [model["modelName"] for model in first["models"] + second["models"]] == names
    assert "nextPageToken" not in second


def test_a_model_without_room_is_507_until_another_is_unloaded(start: Start, tmp_path: Path) -> None:
    """What SageMaker then does: it unloads the model that was used least recently, and tries again."""
    (tmp_path / "none").mkdir()
    models = [build_tiny_rom(tmp_path / f"model-{seed}", TinyRom(seed=seed)) for seed in range(2)]
    need = predict_need(read_rom(models[0]), itemsize=4)
    assert need is not None
    service = start(
        CARTRIDGE_ROM_SOURCES=f"file://{tmp_path / 'none'}",
        SAGEMAKER_MULTI_MODEL="true",
        CARTRIDGE_MEMORY_BYTES=str(need.weights_bytes * 3 // 2 + need.image_bytes),
        CARTRIDGE_DTYPE="float32",
    ).until_ready()

    def load_both() -> list[httpx.Response]:
        bodies = ({"model_name": model.name, "url": str(model)} for model in models)
        return [service.http.post("/models", json=body) for body in bodies]

    first, second = load_both()
    assert first.status_code == 200, first.text
    assert not problem(second, 507, "out_of_rom_memory")["retryable"]
    assert service.http.delete("/models/model-0").status_code == 200
    assert service.http.post("/models", json={"model_name": "model-1", "url": str(models[1])}).status_code == 200
    answer = service.http.post("/models/model-1/invoke", json={"prompt": "a red star", "num_inference_steps": 1})
    assert answer.json()["model"] == "model-1"


def test_without_the_setting_there_is_no_such_route(service: Serving) -> None:
    for answer in (service.http.get("/models"), service.http.post("/models/first/invoke", json={"prompt": "a star"})):
        assert "SAGEMAKER_MULTI_MODEL" in problem(answer, 404, "not_found")["message"]


def test_models_are_listed_as_openai_does(service: Serving) -> None:
    listed = service.http.get("/v1/models").json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == [rom["id"] for rom in service.http.get("/info").json()["roms"]]
    assert all(model["object"] == "model" for model in listed["data"])
