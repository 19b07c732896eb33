"""Driving a multi-model container: load what is asked for, unload what was used least recently without room."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from deploy.local.archives import ModelArchives
from deploy.local.container import container_of
from deploy.local.endpoint import Status
from deploy.local.front import FrontOptions
from deploy.local.limits import Limits
from deploy.local.storage import Storage
from deploy.running import wait_until
from tests.support.fronts import PATIENCE_S, Front, front_in_service, front_of

BUCKET = "models"
TARGETS = ("a.tar.gz", "b.tar.gz", "deeper/c.tar.gz")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Archives of one file, which holds the model's name."""
    root = tmp_path_factory.mktemp("archives")
    for target in TARGETS:
        (root / "weights.txt").write_text(target)
        (root / target).parent.mkdir(exist_ok=True)
        with tarfile.open(root / target, "w:gz") as packed:
            packed.add(root / "weights.txt", "weights.txt")
    return root


@pytest.fixture(scope="module")
def storage(moto_url: str) -> Iterator[Storage]:
    with closing(Storage(moto_url)) as opened:
        yield opened


@pytest.fixture
def front(source: Path, storage: Storage, tmp_path: Path) -> Iterator[Front]:
    archives = ModelArchives(str(source), tmp_path, str(tmp_path), storage)
    with front_in_service(archives=archives, environment={"CAPACITY": "2"}) as started:
        yield started


def invoke(front: Front, target: str, **asked: Any) -> Any:
    answer = front.client().invoke_endpoint(EndpointName="any", TargetModel=target, Body=json.dumps(asked))
    return json.loads(answer["Body"].read())


def loaded(front: Front) -> list[str]:
    """The names in the archives of the models that the container holds, as it lists them."""
    models = httpx.get(f"{front.endpoint.container.url}/models").json()["models"]
    return [(Path(model["modelUrl"]) / "weights.txt").read_text() for model in models]


def test_a_model_is_brought_and_loaded_when_it_is_first_asked_for(front: Front) -> None:
    answer = invoke(front, "a.tar.gz")
    assert loaded(front) == ["a.tar.gz"]
    (model,) = httpx.get(f"{front.endpoint.container.url}/models").json()["models"]
    assert answer["path"] == f"/models/{model['modelName']}/invoke"
    assert answer["headers"]["x-amzn-sagemaker-target-model"] == "a.tar.gz"


def test_without_room_the_model_goes_that_was_used_least_recently(front: Front) -> None:
    for target in ("a.tar.gz", "b.tar.gz", "a.tar.gz", "deeper/c.tar.gz"):
        invoke(front, target)
    assert sorted(loaded(front)) == ["a.tar.gz", "deeper/c.tar.gz"]


def test_a_model_in_use_does_not_go(front: Front) -> None:
    invoke(front, "b.tar.gz")
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(invoke, front, "a.tar.gz", sleep_s=1.0)
        while sorted(loaded(front)) != ["a.tar.gz", "b.tar.gz"]:
            assert not slow.done()
        invoke(front, "b.tar.gz")  # now `a` is the least recent
        invoke(front, "deeper/c.tar.gz")
        assert not slow.done()
        assert sorted(loaded(front)) == ["a.tar.gz", "deeper/c.tar.gz"]


def test_an_invocation_without_memory_makes_room_for_the_next(front: Front) -> None:
    invoke(front, "a.tar.gz")
    with pytest.raises(ClientError) as caught:
        invoke(front, "b.tar.gz", status=507, text="no memory")
    assert caught.value.response["OriginalStatusCode"] == 507
    assert loaded(front) == ["b.tar.gz"]


def test_what_the_container_holds_already_is_no_error(
    source: Path, front: Front, storage: Storage, tmp_path: Path
) -> None:
    invoke(front, "a.tar.gz")
    archives = ModelArchives(str(source), tmp_path, str(tmp_path), storage)
    options = FrontOptions(Limits(), archives=archives)
    with front_of(container_of(front.endpoint.container.url, {}, {}), options) as another:
        another.until(Status.IN_SERVICE)
        assert invoke(another, "a.tar.gz")["path"].endswith("/invoke")


def test_a_model_that_takes_long_is_not_ready_and_then_it_is(source: Path, storage: Storage, tmp_path: Path) -> None:
    archives = ModelArchives(str(source), tmp_path, str(tmp_path), storage)
    slow = {"CAPACITY": "1", "FAULTS": "models-slow"}
    with front_in_service(Limits(load_s=0.3), slow, archives=archives) as front:
        with pytest.raises(ClientError) as caught:
            invoke(front, "a.tar.gz")
        assert caught.value.response["Error"]["Code"] == "ModelNotReadyException"
        wait_until(lambda: loaded(front) == ["a.tar.gz"], PATIENCE_S)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({}, "Must specify TargetModel"),
        ({"TargetModel": "nowhere.tar.gz"}, "Failed to download model data"),
        ({"TargetModel": "../a.tar.gz"}, "leads out"),
        ({"TargetModel": "weights.txt"}, "cannot be unpacked"),
    ],
)
def test_a_wrong_target_is_refused(front: Front, parameters: dict[str, str], reason: str) -> None:
    with pytest.raises(ClientError, match=reason) as caught:
        front.client().invoke_endpoint(EndpointName="any", Body=b"{}", **parameters)
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert loaded(front) == []


def test_archives_may_lie_in_s3(storage: Storage, s3: Any, source: Path, tmp_path: Path) -> None:
    s3.create_bucket(Bucket=BUCKET)
    s3.upload_file(str(source / "deeper" / "c.tar.gz"), BUCKET, "prefix/deeper/c.tar.gz")
    archives = ModelArchives(f"s3://{BUCKET}/prefix/", tmp_path, str(tmp_path), storage)
    with front_in_service(archives=archives, environment={"CAPACITY": "1"}) as front:
        invoke(front, "deeper/c.tar.gz")
        assert loaded(front) == ["deeper/c.tar.gz"]
        with pytest.raises(ClientError, match="Failed to download model data"):
            invoke(front, "a.tar.gz")
