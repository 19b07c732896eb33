"""An empty account for each test, and the account as it is before an endpoint is created."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
import yaml

from deploy.sagemaker.calls import Calls
from deploy.sagemaker.config import EndpointFile, read_config
from deploy.sagemaker.image import CUDA_LABEL, DOCKER_MANIFEST, MODELS_LABEL, PORT_LABEL, Image, read_image
from deploy.sagemaker.plan import Plan, make_plan
from deploy.sagemaker.preflight.facts import Facts
from deploy.sagemaker.roles import ensure_roles
from deploy.sagemaker.rom_push import push_roms
from deploy.sagemaker.sizes import RomSet, read_source
from deploy.sagemaker.timeouts import chosen_times
from deploy.sagemaker.waiting import Patience
from tests.support.aws_stub import ACCOUNT, REGION, AwsStub, running_stub

ROOT = Path(__file__).resolve().parent.parent.parent
BUCKET = "my-bucket"
PATIENCE = Patience(poll_s=0.001, timeout_s=5)
LABELS = {PORT_LABEL: "true", MODELS_LABEL: "true", CUDA_LABEL: "12.4"}
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/cartridge:0.1.0"
MINIMAL: dict[str, Any] = {
    "name": "pictures",
    "region": REGION,
    "image": IMAGE,
    "role": "cartridge-execution",
    "roms": {"source": f"s3://{BUCKET}/roms/"},
    "instances": {"types": ["ml.g5.xlarge"]},
}
SERVERLESS: dict[str, Any] = {
    "kind": "serverless",
    "instances": None,
    "serverless": {},
    "roms": {"source": f"s3://{BUCKET}/roms/", "delivery": "pull"},
}
ASYNC: dict[str, Any] = {
    "kind": "async",
    "async": {"output": f"s3://{BUCKET}/answers/", "failure": f"s3://{BUCKET}/failures/"},
    "autoscaling": {"min": 0, "max": 3},
}
Configure = Callable[..., EndpointFile]


class Interrupted(Exception):
    """The process ended here."""


@dataclass
class Recorder(Calls):
    """Calls that can be counted, and end the process after the k-th change."""

    session: boto3.session.Session
    clients: dict[str, Any]
    ends_after: int | None = None
    changes: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    dry: bool = False

    def __post_init__(self) -> None:
        super().__init__(self.session, dry_run=self.dry, show=self.shown.append)
        self._clients = self.clients

    def change(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        number = len(self.changes)
        self.changes.append(f"{service}.{operation}")
        answer = super().change(service, operation, **parameters)
        if number == self.ends_after:
            raise Interrupted(operation)
        return answer


Record = Callable[..., Recorder]


@pytest.fixture(scope="session")
def session_stub(moto_url: str) -> Iterator[AwsStub]:
    with running_stub(moto_url) as stub:
        yield stub


@pytest.fixture(scope="session")
def session(session_stub: AwsStub) -> Iterator[boto3.session.Session]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", session_stub.url)
        yield boto3.session.Session(botocore_session=botocore.session.Session(), region_name=REGION)


@pytest.fixture(scope="session")
def clients() -> dict[str, Any]:
    """Of boto3 by service: making one takes longer than a test."""
    return {}


@pytest.fixture
def aws(session_stub: AwsStub, session: boto3.session.Session, monkeypatch: pytest.MonkeyPatch) -> AwsStub:
    """An empty account. Every session of boto3 is the same one, because each reads megabytes of descriptions."""
    monkeypatch.setattr(boto3.session, "Session", lambda **_: session)
    session_stub.forget()
    session_stub.script.quotas |= {"ml.g5.xlarge": 4.0, "ml.g6.xlarge": 4.0, "ml.m5.xlarge": 8.0, "ml.m5.large": 8.0}
    return session_stub


@pytest.fixture
def record(aws: AwsStub, session: boto3.session.Session, clients: dict[str, Any]) -> Record:
    """Makes what the scripts call AWS with."""
    return lambda **options: Recorder(session, clients, **options)


@pytest.fixture
def calls(record: Record) -> Recorder:
    return record()


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """The minimal file with these fields in place of its own; None leaves one out."""
    numbers = itertools.count()

    def write(**fields: Any) -> EndpointFile:
        content = {key: value for key, value in {**MINIMAL, **fields}.items() if value is not None}
        path = tmp_path / f"endpoint-{next(numbers)}.yaml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return read_config(path)

    return write


@pytest.fixture
def rom_store(tmp_path: Path) -> Path:
    """A directory with one small ROM, `upscaler`."""
    shutil.copytree(ROOT / "model_store" / "upscaler", tmp_path / "store" / "upscaler")
    return tmp_path / "store"


@dataclass(frozen=True)
class Account:
    """What is there before an endpoint is created: image, ROMs, role."""

    calls: Recorder
    stub: AwsStub
    configure: Configure
    roms: RomSet

    def plan(self, config: EndpointFile) -> Plan:
        facts = Facts(self.calls, config)
        return make_plan(config, facts.image, facts.scope.role_arn, chosen_times(config, self.roms))

    @property
    def image(self) -> Image:
        image = read_image(self.calls, IMAGE)
        assert image is not None
        return image


@pytest.fixture
def account(calls: Recorder, aws: AwsStub, configure: Configure, rom_store: Path) -> Account:
    config = configure()
    calls.client("s3").create_bucket(Bucket=BUCKET)
    push_roms(calls, str(rom_store), config.roms.source)
    calls.client("ecr").create_repository(repositoryName="cartridge")
    put_image(calls, aws)
    ensure_roles(calls, config)
    calls.changes.clear()
    return Account(calls, aws, configure, read_source(str(rom_store)))


def put_image(
    calls: Calls,
    stub: AwsStub,
    *,
    architecture: str = "amd64",
    labels: dict[str, str] | None = None,
    entrypoint: tuple[str, ...] = ("python3",),
    media_type: str = DOCKER_MANIFEST,
    layer_bytes: int = 1_000_000,
    tag: str = "0.1.0",
) -> None:
    """An image in the repository `cartridge`, in the place of the one that had the tag."""
    labels = LABELS if labels is None else labels
    config_digest = f"sha256:{'c' * 63}{len(stub.script.blobs):x}"
    stub.script.blobs[config_digest] = {
        "architecture": architecture,
        "config": {"Labels": labels, "Entrypoint": list(entrypoint)},
    }
    manifest = manifest_text(config_digest, media_type, layer_bytes)
    calls.client("ecr").put_image(
        repositoryName="cartridge",
        imageManifest=manifest,
        imageTag=tag,
        imageDigest=f"sha256:{'a' * 62}{len(stub.script.blobs):02x}",
    )


def manifest_text(config_digest: str, media_type: str = DOCKER_MANIFEST, layer_bytes: int = 1_000_000) -> str:
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": 7,
                "digest": config_digest,
            },
            "layers": [{"size": layer_bytes, "digest": f"sha256:{'b' * 64}"}],
        }
    )
