"""Every check passes on a sound account, and fails, with advice, on what it is there for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deploy.sagemaker.config import EndpointFile
from deploy.sagemaker.endpoint import create
from deploy.sagemaker.image import CUDA_LABEL
from deploy.sagemaker.preflight.checks import CHECKS, Result, has_failed, run_checks
from deploy.sagemaker.preflight.facts import Facts
from deploy.sagemaker.roles import ensure_roles
from tests.deploy.conftest import ASYNC, BUCKET, IMAGE, LABELS, PATIENCE, SERVERLESS, Account, put_image

CPU: dict[str, Any] = {"instances": {"types": ["ml.m5.xlarge"]}}


def look(account: Account, config: EndpointFile) -> dict[str, Result]:
    return {result.name: result for result in run_checks(Facts(account.calls, config))}


def failure(account: Account, config: EndpointFile, name: str, outcome: str = "fail") -> str:
    """The line of the one check that is not content."""
    results = look(account, config)
    unhappy = {
        key: result.verdict.outcome for key, result in results.items() if result.verdict.outcome not in ("pass", "skip")
    }
    assert unhappy == {name: outcome}
    assert results[name].verdict.advice
    assert results[name].verdict.advice in results[name].line
    return results[name].line


def replace_image(account: Account, **options: Any) -> None:
    account.calls.client("ecr").batch_delete_image(repositoryName="cartridge", imageIds=[{"imageTag": "0.1.0"}])
    put_image(account.calls, account.stub, **options)


@pytest.mark.parametrize("kind", [{}, CPU, ASYNC, SERVERLESS], ids=["gpu", "cpu", "async", "serverless"])
def test_a_sound_account_passes(account: Account, kind: dict[str, Any]) -> None:
    account.stub.script.quotas["ml.g5.xlarge"] = 6.0
    config = account.configure(**kind)
    if "async" in kind:
        ensure_roles(account.calls, config)
        account.calls.changes.clear()
    results = look(account, config)
    assert {name: result.line for name, result in results.items() if result.verdict.outcome != "pass"} == {}
    assert list(results) == [check.name for check in CHECKS]
    assert account.calls.changes == []


def test_image_missing(account: Account) -> None:
    config = account.configure(image=IMAGE.replace("0.1.0", "9.9.9"))
    line = failure(account, config, "image")
    assert "9.9.9 is not in ECR" in line and "deploy push" in line
    skipped = [result.name for result in look(account, config).values() if result.verdict.outcome == "skip"]
    assert skipped == ["manifest", "architecture", "labels", "cuda"]


def test_repository_missing(account: Account) -> None:
    results = look(account, account.configure(image=IMAGE.replace("/cartridge", "/other")))
    assert "is not in ECR" in results["image"].line


def test_image_in_another_region(account: Account) -> None:
    results = look(account, account.configure(image=IMAGE.replace("us-east-1", "eu-west-1")))
    assert "it is in eu-west-1, the endpoint in us-east-1" in results["image"].line


def test_image_too_large_for_serverless(account: Account) -> None:
    replace_image(account, layer_bytes=11 * 1024**3)
    assert "10 GiB" in failure(account, account.configure(**SERVERLESS), "image")


@pytest.mark.parametrize(
    "media_type", ["application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"]
)
def test_manifest_of_oci(account: Account, media_type: str) -> None:
    replace_image(account, media_type=media_type)
    line = failure(account, account.configure(), "manifest")
    assert "refuses OCI manifests" in line and "--provenance=false" in line


@pytest.mark.parametrize(
    ("built", "types", "wanted"), [("arm64", ["ml.m5.xlarge"], "amd64"), ("amd64", ["ml.c7g.2xlarge"], "arm64")]
)
def test_architecture_of_other_machines(account: Account, built: str, types: list[str], wanted: str) -> None:
    account.stub.script.quotas["ml.c7g.2xlarge"] = 4.0
    replace_image(account, architecture=built)
    line = failure(account, account.configure(instances={"types": types}), "architecture")
    assert "exec format error" in line and f"--architecture {wanted}" in line


def test_labels_missing(account: Account) -> None:
    replace_image(account, labels={CUDA_LABEL: "12.4"})
    assert "without com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true" in failure(
        account, account.configure(), "labels"
    )


def test_labels_and_an_entry_point_in_shell_form(account: Account) -> None:
    replace_image(account, entrypoint=("/bin/sh", "-c", "serve"))
    assert "SIGTERM" in failure(account, account.configure(), "labels")


def test_cuda_untold(account: Account) -> None:
    replace_image(account, labels={name: value for name, value in LABELS.items() if name != CUDA_LABEL})
    assert "set instances.cuda" in failure(account, account.configure(), "cuda")
    told = account.configure(instances={"types": ["ml.g5.xlarge"], "cuda": "12.4"})
    assert look(account, told)["cuda"].verdict.outcome == "pass"


def test_cuda_that_no_host_runs(account: Account) -> None:
    config = account.configure(instances={"types": ["ml.g5.xlarge"], "cuda": "14.0"})
    assert "no host of SageMaker runs CUDA 14.0" in failure(account, config, "cuda")


def test_cuda_newer_than_the_chosen_host(account: Account) -> None:
    instances = {"types": ["ml.g5.xlarge"], "cuda": "13.0", "ami": "al2-ami-sagemaker-inference-gpu-3-1"}
    assert "the driver is too old" in failure(account, account.configure(instances=instances), "cuda")


@pytest.mark.parametrize("cuda", ["12.9", "11.8"])
def test_cuda_of_another_version_is_told(account: Account, cuda: str) -> None:
    config = account.configure(instances={"types": ["ml.g5.xlarge"], "cuda": cuda})
    assert "not the same version" in failure(account, config, "cuda", "warn")


def test_cuda_of_an_unknown_host_is_told(account: Account) -> None:
    config = account.configure(instances={"types": ["ml.g5.xlarge"], "ami": "al2-ami-sagemaker-inference-gpu-2"})
    assert "set instances.cuda" in failure(account, config, "cuda", "warn")


def test_role_missing(account: Account) -> None:
    config = account.configure(role="nobody")
    assert "there is no role 'nobody'" in failure(account, config, "role")
    assert look(account, config)["role-access"].verdict.outcome == "skip"


def test_role_that_sagemaker_may_not_assume(account: Account) -> None:
    statement = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    account.calls.client("iam").update_assume_role_policy(RoleName="cartridge-execution", PolicyDocument=trust)
    assert "does not let sagemaker.amazonaws.com assume it" in failure(account, account.configure(), "role")


def test_role_access_to_other_roms(account: Account) -> None:
    s3 = account.calls.client("s3")
    for item in s3.list_objects_v2(Bucket=BUCKET, Prefix="roms/")["Contents"]:
        source = {"Bucket": BUCKET, "Key": item["Key"]}
        s3.copy_object(Bucket=BUCKET, Key=item["Key"].replace("roms/", "others/"), CopySource=source)
    line = failure(account, account.configure(roms={"source": f"s3://{BUCKET}/others/"}), "role-access")
    assert f"the role may not s3:GetObject on arn:aws:s3:::{BUCKET}/others/example" in line
    assert "deploy role" in line


def test_roms_missing(account: Account) -> None:
    line = failure(account, account.configure(roms={"source": f"s3://{BUCKET}/roms/none/"}), "roms")
    assert "holds no ROM" in line and "roms push" in line


def test_roms_of_a_bucket_that_is_not_there(account: Account) -> None:
    results = look(account, account.configure(roms={"source": "s3://no-such-bucket/roms/"}))
    assert "NoSuchBucket" in results["roms"].line
    assert results["roms"].verdict.outcome == "fail"


@pytest.mark.parametrize("field", ["preload", "ready", "pin"])
def test_roms_that_the_file_names(account: Account, field: str) -> None:
    config = account.configure(roms={"source": f"s3://{BUCKET}/roms/", field: ["shapes"]})
    assert "'shapes' is named in the file, and there are: upscaler" in failure(account, config, "roms")


def test_roms_with_a_key_of_no_bytes(account: Account) -> None:
    account.calls.client("s3").put_object(Bucket=BUCKET, Key="roms/upscaler/", Body=b"")
    assert "'roms/upscaler/' has no bytes" in failure(account, account.configure(), "roms")
    pulled = account.configure(roms={"source": f"s3://{BUCKET}/roms/", "delivery": "pull"})
    assert look(account, pulled)["roms"].verdict.outcome == "pass"


def test_roms_that_are_broken(account: Account) -> None:
    account.calls.client("s3").put_object(Bucket=BUCKET, Key="roms/broken/rom.yaml", Body=b"id: 1")
    assert "broken is broken" in failure(account, account.configure(), "roms", "warn")
    only = account.configure(roms={"source": f"s3://{BUCKET}/roms/broken/"})
    assert "is broken" in look(account, only)["roms"].line
    assert has_failed(list(look(account, only).values()))


def test_instance_type_that_the_region_has_not(account: Account) -> None:
    config = account.configure(instances={"types": ["ml.p4d.24xlarge"]})
    assert "us-east-1 has no ml.p4d.24xlarge" in failure(account, config, "instance-type")
    two = account.configure(instances={"types": ["ml.m5.xlarge", "ml.m7i.xlarge"]})
    assert "leave it out" in failure(account, two, "instance-type", "warn")


def test_quota_too_small(account: Account) -> None:
    config = account.configure(instances={"types": ["ml.g5.xlarge"], "count": 5})
    line = failure(account, config, "quota")
    assert (
        "ml.g5.xlarge: 4; 5 may run" in line
        and "ask Service Quotas for 10 of 'ml.g5.xlarge for endpoint usage'" in line
    )


def test_quota_too_small_for_a_second_fleet_is_told(account: Account) -> None:
    fleet = account.configure(autoscaling={"min": 1, "max": 3})
    assert "a blue/green update needs up to 6" in failure(account, fleet, "quota", "warn")


def test_endpoint_name_taken(account: Account) -> None:
    config, other = account.configure(), account.configure(name="other")
    create(account.calls, other, account.plan(other), PATIENCE)
    found = account.calls.client("sagemaker").list_endpoint_configs()["EndpointConfigs"][0]["EndpointConfigName"]
    account.calls.client("sagemaker").create_endpoint(EndpointName=config.name, EndpointConfigName=found)
    assert "pictures is taken" in failure(account, config, "endpoint-name")
    assert "other is ours, and InService" in look(account, other)["endpoint-name"].line


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        ("ListServiceQuotas", "instance-type"),
        ("DescribeEndpoint", "endpoint-name"),
        ("GetDownloadUrlForLayer", "image"),
    ],
)
def test_what_these_credentials_may_not_ask_is_a_failure(account: Account, operation: str, name: str) -> None:
    account.stub.script.refused.add(operation)
    line = failure(account, account.configure(), name)
    assert "AccessDeniedException" in line
