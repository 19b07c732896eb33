"""The service as SageMaker drives it: its rules, and the local front between it and unmodified boto3 clients."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.roms.catalog import read_rom
from app.roms.memory import predict_need
from deploy.local.archives import ModelArchives
from deploy.local.asynchronous import AsyncConfig
from deploy.local.container import container_of
from deploy.local.endpoint import Status
from deploy.local.front import FrontOptions
from deploy.local.limits import Limits
from deploy.local.storage import Location, Storage
from deploy.running import wait_until
from tests.service.conftest import Start
from tests.service.test_command_line import CARTRIDGE
from tests.support.fronts import Front, front_of
from tests.support.roms import write_manifest
from tests.support.serving import FAKE_STORE, PATIENCE_S, Serving
from tests.support.tiny_rom import TinyRom, build_tiny_rom

BUCKET = "platform"
PROMPT = {"prompt": "a red star", "seed": 7}


@pytest.fixture(scope="module")
def front(service: Serving, moto_url: str, s3: Any) -> Iterator[Front]:
    """Before the service of most tests."""
    s3.create_bucket(Bucket=BUCKET)
    config = AsyncConfig(Location(BUCKET, "out"), Location(BUCKET, "failures"))
    with closing(Storage(moto_url)) as storage:
        options = FrontOptions(Limits(), asynchronous=config, storage=storage)
        with front_of(container_of(service.local.url, {}, {}), options) as started:
            started.until(Status.IN_SERVICE)
            yield started


def test_the_service_keeps_every_rule(tmp_path: Path) -> None:
    """As a multi-model container, which also serves ROMs of its own: so no rule but those of images is left out."""
    write_manifest(tmp_path / "rom")
    settings = {"CARTRIDGE_ROM_SOURCES": FAKE_STORE, "CARTRIDGE_THREADS": "1", "SAGEMAKER_MULTI_MODEL": "true"}
    command = [str(CARTRIDGE), "conformance", "--json", "--model-url", str(tmp_path / "rom")]
    environment = {**os.environ, **settings}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    table = {entry["id"]: (entry["verdict"], entry["observed"]) for entry in json.loads(done.stdout)}
    assert {name: told for name, told in table.items() if told[0] == "broken"} == {}
    assert done.returncode == 0
    skipped = {name for name, told in table.items() if told[0] == "skipped"}
    images = {"entrypoint", "root-user", "read-only-model", "network-isolation"}
    assert skipped == {*images, "execution-parameters"}


def test_a_request_is_answered_through_the_front_as_without_it(front: Front, service: Serving) -> None:
    answer = front.client().invoke_endpoint(EndpointName="any", Body=json.dumps(PROMPT), InferenceId="order 66")
    content = json.loads(answer["Body"].read())
    assert content["id"] == "order 66"
    assert content["images"] == service.invoke(**PROMPT).json()["images"]


def test_an_error_keeps_its_status_and_its_cause(front: Front) -> None:
    runtime = front.client()
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        runtime.invoke_endpoint(EndpointName="any", Body=b'{"prompt": "a red star", "width": -1}')
    assert caught.value.response["OriginalStatusCode"] == 422
    assert json.loads(caught.value.response["OriginalMessage"])["error"]["param"] == "width"


def test_steps_are_streamed(front: Front) -> None:
    body = json.dumps(PROMPT | {"stream": True, "num_inference_steps": 3})
    answer = front.client().invoke_endpoint_with_response_stream(EndpointName="any", Body=body)
    text = b"".join(event["PayloadPart"]["Bytes"] for event in answer["Body"]).decode()
    assert answer["ContentType"].startswith("text/event-stream")
    names = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")]
    assert names == ["queued", "step", "step", "step", "completed"]


def test_an_image_comes_into_the_bucket(front: Front, s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="in/star.json", Body=json.dumps(PROMPT).encode())
    location = f"s3://{BUCKET}/in/star.json"
    front.client().invoke_endpoint_async(
        EndpointName="any", InputLocation=location, Accept="image/png", InferenceId="x"
    )

    def stored() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = s3.list_objects_v2(Bucket=BUCKET, Prefix="out/").get("Contents", [])
        return found

    wait_until(lambda: bool(stored()), PATIENCE_S)
    image = s3.get_object(Bucket=BUCKET, Key="out/x.out")
    assert image["ContentType"] == "image/png"
    assert image["Body"].read().startswith(b"\x89PNG")


def test_target_models_take_turns_where_there_is_room_for_one(start: Start, tmp_path: Path) -> None:
    for name in ("none", "unpacked"):
        (tmp_path / name).mkdir()
    models = {f"model-{seed}": build_tiny_rom(tmp_path / f"model-{seed}", TinyRom(seed=seed)) for seed in range(2)}
    need = predict_need(read_rom(models["model-0"]), itemsize=4)
    assert need is not None
    service = start(
        CARTRIDGE_ROM_SOURCES=f"file://{tmp_path / 'none'}",
        SAGEMAKER_MULTI_MODEL="true",
        CARTRIDGE_MEMORY_BYTES=str(need.weights_bytes * 3 // 2 + need.image_bytes),
        CARTRIDGE_DTYPE="float32",
    ).until_ready()
    for name, directory in models.items():
        (directory / "name").write_text(name)
        pack(tmp_path / f"{name}.tar.gz", directory)
    with closing(Storage("http://localhost:1")) as storage:
        options = FrontOptions(
            Limits(), ModelArchives(str(tmp_path), tmp_path / "unpacked", str(tmp_path / "unpacked"), storage)
        )
        with front_of(container_of(service.local.url, {}, {}), options) as front:
            front.until(Status.IN_SERVICE)
            for name in ("model-0", "model-1", "model-0"):
                body = json.dumps(PROMPT | {"num_inference_steps": 1})
                answer = front.client().invoke_endpoint(EndpointName="any", TargetModel=f"{name}.tar.gz", Body=body)
                assert json.loads(answer["Body"].read())["images"]
                (model,) = service.http.get("/models").json()["models"]
                assert (Path(model["modelUrl"]) / "name").read_text() == name


def pack(archive: Path, directory: Path) -> None:
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(directory, ".")
