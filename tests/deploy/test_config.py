"""The file of an endpoint: what is refused, by name, and what follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.sagemaker.config import read_config
from deploy.sagemaker.errors import DeployError
from deploy.sagemaker.instances import choose_ami
from deploy.sagemaker.plan import concurrency, environment
from deploy.sagemaker.sizes import RomSet, RomSize
from deploy.sagemaker.timeouts import StartTimes, chosen_times, needed_times
from tests.deploy.conftest import ASYNC, BUCKET, ROOT, SERVERLESS, Configure

GB = 10**9
SOURCE = f"s3://{BUCKET}/roms/"
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"nmae": "x"}, "nmae: there is no such field"),
    ({"roms": {"source": SOURCE, "sources": 1}}, "roms.sources: there is no such field"),
    ({"roms": {"source": f"s3://{BUCKET}/roms"}}, "roms.source"),
    ({"name": "Has_Underscore"}, "name"),
    ({"region": "mars"}, "region"),
    ({"image": "docker.io/cartridge"}, "image"),
    ({"instances": None}, "instances: a real_time endpoint needs it"),
    ({"serverless": {}}, "serverless: not of a real_time endpoint"),
    ({"async": ASYNC["async"]}, "async: not of a real_time endpoint"),
    ({"instances": {"types": ["ml.z9.huge"]}}, "'ml.z9.huge' is not in deploy/sagemaker/instances.py"),
    ({"instances": {"types": ["ml.g5.xlarge", "ml.m5.xlarge"]}}, "all with a GPU or none"),
    ({"instances": {"types": ["ml.g5.xlarge"], "ami": "windows"}}, "ami: 'windows' is none of"),
    ({"instances": {"types": ["ml.g5.xlarge"], "cuda": "latest"}}, "cuda: 'latest' is no version"),
    ({"autoscaling": {"min": 3, "max": 2}}, "min: 3 is more than max, 2"),
    ({"autoscaling": {"min": 0, "max": 2}}, "autoscaling.min: 0 is for asynchronous endpoints"),
    ({"autoscaling": {"min": 2, "max": 3}}, "instances.count: must lie between"),
    ({"rollout": {"strategy": "rolling"}}, "rollout.strategy: rolling .* needs two instances"),
    ({"rollout": {"traffic": "linear", "step_percent": 5}}, "rollout.step_percent: 10 at least"),
    ({"network_isolation": True, "roms": {"source": SOURCE, "delivery": "pull"}}, "take roms.delivery mount"),
    ({"settings": {"rom_sources": SOURCE}}, "rom_sources: follows from other fields"),
    ({"settings": {"colour": 1}}, "colour: the service has no such setting"),
    ({"settings": {"max_queue_size": 0}}, "max_queue_size: Input should be greater"),
    ({"settings": {"request_timeout_s": 600}}, "settings.request_timeout_s: .*55 at most"),
    ({"tags": {"cartridge:endpoint": "other"}}, "is not yours to set"),
    ({"batch": {"input": SOURCE, "output": SOURCE, "instance_type": "t"}}, "instance_type: 't' is none of"),
    (
        {"batch": {"input": SOURCE, "output": SOURCE, "instance_type": "ml.m5.large", "max_concurrent": 50}},
        "times max_payload_mb it may be 100 at most",
    ),
    ({**SERVERLESS, "roms": {"source": SOURCE}}, "roms.delivery: SageMaker mounts no prefix"),
    ({**SERVERLESS, "vpc": {"subnets": ["s"], "security_groups": ["g"]}}, "vpc: SageMaker has none for serverless"),
    ({**SERVERLESS, "autoscaling": {"min": 1, "max": 2}}, "autoscaling: SageMaker has none for serverless"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_what_is_wrong_is_refused_by_name(configure: Configure, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DeployError, match=message):
        configure(**fields)


@pytest.mark.parametrize("text", ["", "- a", "a: [", "\x00"])
def test_what_is_no_file_of_an_endpoint_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "endpoint.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DeployError, match=r"endpoint\.yaml"):
        read_config(path)
    with pytest.raises(DeployError, match="cannot be read"):
        read_config(tmp_path / "none.yaml")


def test_the_example_and_those_in_the_documents_are_valid(tmp_path: Path) -> None:
    assert read_config(ROOT / "deploy" / "endpoint.yaml").name == "cartridge"
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    examples = [block.partition("```")[0] for block in text.split("```yaml\n")[1:]]
    assert len(examples) >= 3
    for number, example in enumerate(examples):
        path = tmp_path / f"{number}.yaml"
        path.write_text(example, encoding="utf-8")
        assert read_config(path).name
    counts = [yaml.safe_load(example).get("instances", {}).get("count", 1) for example in examples]
    assert {1, 10} <= set(counts)


def test_this_machines_environment_does_not_speak_for_the_container(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARTRIDGE_MAX_QUEUE_SIZE", "2")
    assert configure().service_settings().max_queue_size == 64


def test_the_container_is_told_where_its_roms_are(configure: Configure) -> None:
    config = configure(settings={"log_prompts": True}, roms={"source": SOURCE, "preload": ["a", "b"], "pin": ["a"]})
    assert environment(config, "mount") == {
        "CARTRIDGE_CACHE_DIR": "/tmp/cartridge",
        "CARTRIDGE_LOG_PROMPTS": "true",
        "CARTRIDGE_PIN": "a",
        "CARTRIDGE_PRELOAD": "a,b",
        "CARTRIDGE_READY": "any",
        "CARTRIDGE_ROM_SOURCES": "file:///opt/ml/model",
    }
    assert environment(config, "pull")["CARTRIDGE_ROM_SOURCES"] == f"{SOURCE}?region=us-east-1"
    assert environment(configure(**SERVERLESS), "pull")["CARTRIDGE_MAX_RESPONSE_BYTES"] == "4194304"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, 8), ({"max_batch_size": 4}, 2), ({"max_queue_size": 6}, 3), ({"max_batch_size": 1}, 1)],
)
def test_the_target_follows_from_batch_and_queue(configure: Configure, settings: dict[str, int], expected: int) -> None:
    assert concurrency(configure(settings=settings)) == expected


@pytest.mark.parametrize(
    ("delivery", "preload", "expected"),
    [
        (
            "mount",
            "all",
            StartTimes(300, 360),
        ),  # twice 14 GB at 100 MB/s; 120 s and twice 14 GB at 150 MB/s; up to minutes
        ("mount", "none", StartTimes(300, 120)),
        ("pull", "all", StartTimes(60, 600)),
        ("pull", ["a"], StartTimes(60, 360)),
    ],
)
def test_timeouts_follow_from_the_bytes(
    configure: Configure, delivery: str, preload: Any, expected: StartTimes
) -> None:
    roms = RomSet({name: RomSize(name, 7 * GB, GB, GB) for name in ("a", "b")})
    config = configure(roms={"source": SOURCE, "delivery": delivery, "preload": preload})
    assert needed_times(config, roms) == expected
    told = configure(roms={"source": SOURCE, "delivery": delivery, "preload": preload}, timeouts={"startup_s": 1234})
    assert chosen_times(told, roms) == StartTimes(expected.download_s, 1234)


@pytest.mark.parametrize(
    ("cuda", "ending"),
    [
        ("12.1", "gpu-2-1"),
        ("12.4", "gpu-3-1"),
        ("12.8.1", "gpu-3-1"),
        ("13.0", "gpu-4-1"),
        ("11.8", "gpu-2-1"),
        ("13", "gpu-4-1"),
    ],
)
def test_the_host_follows_from_cuda(cuda: str, ending: str) -> None:
    ami = choose_ami(cuda)
    assert ami is not None and ami.name.endswith(ending)
