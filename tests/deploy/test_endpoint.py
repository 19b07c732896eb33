"""Endpoints: made once, mended after anything, changed with a way back, deleted where they are ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deploy.sagemaker.autoscaling import describe_autoscaling
from deploy.sagemaker.calls import Calls
from deploy.sagemaker.config import EndpointFile
from deploy.sagemaker.endpoint import create, update
from deploy.sagemaker.errors import DeployError
from deploy.sagemaker.ownership import find_endpoint, named_after
from deploy.sagemaker.removal import delete
from deploy.sagemaker.status import status_lines
from tests.deploy.conftest import ASYNC, PATIENCE, SERVERLESS, Account, Interrupted, Record, put_image

SCALED: dict[str, Any] = {"autoscaling": {"min": 1, "max": 4}}
KINDS = pytest.mark.parametrize("kind", [{}, SCALED, ASYNC, SERVERLESS], ids=["fixed", "scaled", "async", "serverless"])


MANY_CHANGES = pytest.mark.parametrize("kind", [SCALED, ASYNC, SERVERLESS], ids=["scaled", "async", "serverless"])


def state(calls: Calls, config: EndpointFile) -> dict[str, Any]:
    """Everything that an account has of an endpoint."""
    endpoint = find_endpoint(calls, config.name)
    target, policies = describe_autoscaling(calls, config)
    alarms = calls.read("cloudwatch", "describe_alarms")["MetricAlarms"]
    return {
        "config": endpoint and endpoint["EndpointConfigName"],
        "configs": named_after(calls, "EndpointConfig", config.name),
        "models": named_after(calls, "Model", config.name),
        "target": target and (target["MinCapacity"], target["MaxCapacity"]),
        "policies": sorted(policy["PolicyName"] for policy in policies),
        "alarms": sorted(alarm["AlarmName"] for alarm in alarms),
    }


NOTHING: dict[str, Any] = {"config": None, "configs": [], "models": [], "target": None, "policies": [], "alarms": []}


def each_interruption(count: int, record: Record, run: Callable[[Calls], None], check: Callable[[], None]) -> None:
    """End the process after each of its changes, which is before the next, run it again, and look."""
    for number in range(count):
        with pytest.raises(Interrupted):
            run(record(ends_after=number))
        run(record())
        check()


@KINDS
def test_an_endpoint_is_made_once(account: Account, record: Record, kind: dict[str, Any]) -> None:
    config = account.configure(**kind)
    create(account.calls, config, account.plan(config), PATIENCE)
    made = state(account.calls, config)
    assert made["config"] == account.plan(config).endpoint_config.name
    again = record()
    create(again, config, account.plan(config), PATIENCE)
    update(again, config, account.plan(config), PATIENCE)
    assert again.changes == []
    assert state(account.calls, config) == made


@MANY_CHANGES
def test_creating_completes_wherever_it_was_interrupted(account: Account, record: Record, kind: dict[str, Any]) -> None:
    config = account.configure(**kind)
    plan = account.plan(config)
    create(account.calls, config, plan, PATIENCE)
    whole, count = state(account.calls, config), len(account.calls.changes)
    assert count >= 3

    def check() -> None:
        assert state(account.calls, config) == whole
        delete(record(), config, PATIENCE)

    delete(record(), config, PATIENCE)
    each_interruption(count, record, lambda calls: create(calls, config, plan, PATIENCE), check)


@MANY_CHANGES
def test_deleting_completes_wherever_it_was_interrupted(account: Account, record: Record, kind: dict[str, Any]) -> None:
    config = account.configure(**kind)
    plan = account.plan(config)
    create(record(), config, plan, PATIENCE)
    delete(account.calls, config, PATIENCE)
    assert state(account.calls, config) == NOTHING
    create(record(), config, plan, PATIENCE)

    def check() -> None:
        assert state(account.calls, config) == NOTHING
        create(record(), config, plan, PATIENCE)

    each_interruption(len(account.calls.changes), record, lambda calls: delete(calls, config, PATIENCE), check)


def test_updating_completes_wherever_it_was_interrupted(account: Account, record: Record) -> None:
    before, after = (
        account.configure(**SCALED),
        account.configure(settings={"max_queue_size": 8}, instances={"types": ["ml.g6.xlarge"], "count": 2}),
    )
    create(record(), before, account.plan(before), PATIENCE)
    update(account.calls, after, account.plan(after), PATIENCE)
    whole = state(account.calls, after)
    assert whole["configs"] == [account.plan(after).endpoint_config.name]
    assert whole["models"] == [account.plan(after).model.name]
    assert whole["target"] is None

    def check() -> None:
        assert state(account.calls, after) == whole
        update(record(), before, account.plan(before), PATIENCE)

    update(record(), before, account.plan(before), PATIENCE)
    each_interruption(
        len(account.calls.changes), record, lambda calls: update(calls, after, account.plan(after), PATIENCE), check
    )


def test_an_update_of_one_instance_has_no_steps(account: Account) -> None:
    before, after = account.configure(), account.configure(settings={"log_prompts": True})
    create(account.calls, before, account.plan(before), PATIENCE)
    update(account.calls, after, account.plan(after), PATIENCE)
    policy = account.stub.script.updates[0]["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"] == {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 300}


def test_an_update_goes_in_steps_and_keeps_what_autoscaling_made(account: Account) -> None:
    fleet = {"instances": {"types": ["ml.g5.xlarge"], "count": 2}, "autoscaling": {"min": 2, "max": 4}}
    before, after = account.configure(**fleet), account.configure(**fleet, settings={"log_prompts": True})
    create(account.calls, before, account.plan(before), PATIENCE)
    update(account.calls, after, account.plan(after), PATIENCE)
    (asked,) = account.stub.script.updates
    assert asked["RetainAllVariantProperties"] is True
    policy = asked["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"]["CanarySize"] == {"Type": "CAPACITY_PERCENT", "Value": 20}
    alarms = [alarm["AlarmName"] for alarm in asked["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]]
    assert alarms == [f"cartridge-pictures-rollback-{name}" for name in ("5xx", "model-errors", "latency")]


def test_an_update_may_roll_through_the_fleet(account: Account) -> None:
    fleet = {
        "instances": {"types": ["ml.g5.xlarge"], "count": 2},
        "rollout": {"strategy": "rolling", "step_percent": 50},
    }
    before, after = account.configure(**fleet), account.configure(**fleet, settings={"log_prompts": True})
    create(account.calls, before, account.plan(before), PATIENCE)
    update(account.calls, after, account.plan(after), PATIENCE)
    (asked,) = account.stub.script.updates
    assert "RetainAllVariantProperties" not in asked
    batch = asked["DeploymentConfig"]["RollingUpdatePolicy"]["MaximumBatchSize"]
    assert batch == {"Type": "CAPACITY_PERCENT", "Value": 50}


def test_a_serverless_update_has_no_steps(account: Account) -> None:
    before, after = account.configure(**SERVERLESS), account.configure(**SERVERLESS, settings={"log_prompts": True})
    create(account.calls, before, account.plan(before), PATIENCE)
    update(account.calls, after, account.plan(after), PATIENCE)
    assert account.stub.script.updates[0].keys() == {"EndpointName", "EndpointConfigName"}


def test_an_update_that_was_rolled_back_says_so_and_leaves_what_runs(account: Account) -> None:
    before, after = account.configure(), account.configure(settings={"log_prompts": True})
    create(account.calls, before, account.plan(before), PATIENCE)
    account.stub.script.rolls_back = "an alarm fired"
    with pytest.raises(DeployError, match="rolled the update back: an alarm fired"):
        update(account.calls, after, account.plan(after), PATIENCE)
    assert account.plan(before).endpoint_config.name in state(account.calls, before)["configs"]
    assert account.plan(before).model.name in state(account.calls, before)["models"]
    account.stub.script.rolls_back = None
    update(account.calls, after, account.plan(after), PATIENCE)
    assert state(account.calls, after)["configs"] == [account.plan(after).endpoint_config.name]


def test_an_endpoint_that_failed_says_why_and_is_made_anew(account: Account) -> None:
    config = account.configure()
    account.stub.script.fails_at_start = "The primary container did not pass the ping health check"
    with pytest.raises(DeployError, match="is Failed: The primary container did not pass the ping"):
        create(account.calls, config, account.plan(config), PATIENCE)
    with pytest.raises(DeployError, match=r"has failed .*run create"):
        update(account.calls, config, account.plan(config), PATIENCE)
    account.stub.script.fails_at_start = None
    create(account.calls, config, account.plan(config), PATIENCE)
    assert state(account.calls, config)["config"] == account.plan(config).endpoint_config.name


def test_it_waits_while_sagemaker_works(account: Account) -> None:
    config = account.configure()
    create(account.calls, config, account.plan(config), PATIENCE)
    account.stub.script.statuses.extend(["Updating", "SystemUpdating", "RollingBack"])
    create(account.calls, config, account.plan(config), PATIENCE)
    assert not account.stub.script.statuses
    assert "waiting until pictures is settled" in account.calls.shown


def test_it_does_not_wait_for_ever(account: Account) -> None:
    config = account.configure()
    create(account.calls, config, account.plan(config), PATIENCE)
    account.stub.script.statuses.extend(["Updating"] * 1000)
    with pytest.raises(DeployError, match="still not so that pictures is settled; run this again"):
        create(account.calls, config, account.plan(config), type(PATIENCE)(poll_s=0.001, timeout_s=0.01))


@pytest.mark.parametrize("status", ["OutOfService", "UpdateRollbackFailed"])
def test_what_cannot_be_updated_is_not(account: Account, status: str) -> None:
    config = account.configure()
    create(account.calls, config, account.plan(config), PATIENCE)
    account.stub.script.statuses.append(status)
    with pytest.raises(DeployError, match=f"is {status}"):
        update(account.calls, config, account.plan(config), PATIENCE)


def test_create_changes_no_endpoint_and_update_makes_none(account: Account) -> None:
    config, other = account.configure(), account.configure(settings={"log_prompts": True})
    with pytest.raises(DeployError, match="run create"):
        update(account.calls, config, account.plan(config), PATIENCE)
    create(account.calls, config, account.plan(config), PATIENCE)
    with pytest.raises(DeployError, match="run update"):
        create(account.calls, other, account.plan(other), PATIENCE)


def make_foreign(calls: Calls, config: EndpointFile, account: Account) -> None:
    """The same names, without our tag."""
    plan = account.plan(config)
    sagemaker = calls.client("sagemaker")
    sagemaker.create_model(ModelName=f"{config.name}-foreign", **plan.model.request)
    (variant,) = plan.endpoint_config.request["ProductionVariants"]
    variants = [{**variant, "ModelName": f"{config.name}-foreign"}]
    sagemaker.create_endpoint_config(EndpointConfigName=f"{config.name}-foreign", ProductionVariants=variants)
    sagemaker.create_endpoint(EndpointName=config.name, EndpointConfigName=f"{config.name}-foreign")
    calls.client("cloudwatch").put_metric_alarm(
        AlarmName=f"cartridge-{config.name}-mine",
        MetricName="CPUUtilization",
        Namespace="AWS/SageMaker",
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )


@pytest.mark.parametrize("command", [create, update])
def test_what_others_made_is_not_changed(account: Account, command: Callable[..., None]) -> None:
    config = account.configure()
    make_foreign(account.calls, config, account)
    with pytest.raises(DeployError, match="does not carry the tag cartridge:endpoint=pictures"):
        command(account.calls, config, account.plan(config), PATIENCE)
    assert account.calls.changes == []


def test_what_others_made_is_not_deleted(account: Account) -> None:
    config = account.configure()
    make_foreign(account.calls, config, account)
    with pytest.raises(DeployError, match="does not carry the tag"):
        delete(account.calls, config, PATIENCE)
    account.calls.client("sagemaker").delete_endpoint(EndpointName=config.name)
    delete(account.calls, config, PATIENCE)
    assert account.calls.changes == []
    sagemaker = account.calls.client("sagemaker")
    assert [one["ModelName"] for one in sagemaker.list_models()["Models"]] == ["pictures-foreign"]
    assert [one["EndpointConfigName"] for one in sagemaker.list_endpoint_configs()["EndpointConfigs"]] == [
        "pictures-foreign"
    ]
    assert state(account.calls, config)["alarms"] == ["cartridge-pictures-mine"]


def test_a_longer_name_is_another_endpoint(account: Account) -> None:
    short, long = account.configure(), account.configure(name="pictures-2")
    for config in (short, long):
        create(account.calls, config, account.plan(config), PATIENCE)
    delete(account.calls, short, PATIENCE)
    assert state(account.calls, long)["config"] == account.plan(long).endpoint_config.name


def test_another_image_under_the_tag_is_another_model(account: Account) -> None:
    config = account.configure()
    first = account.plan(config)
    account.calls.client("ecr").batch_delete_image(repositoryName="cartridge", imageIds=[{"imageTag": "0.1.0"}])
    put_image(account.calls, account.stub, layer_bytes=2)
    assert account.plan(config).model.name != first.model.name
    assert "@sha256:" in first.model.request["PrimaryContainer"]["Image"]


def test_status_tells_what_is_there(account: Account) -> None:
    config = account.configure(**SCALED)
    assert next(iter(status_lines(account.calls, config))) == "endpoint  pictures: not there"
    create(account.calls, config, account.plan(config), PATIENCE)
    lines = "\n".join(status_lines(account.calls, config))
    assert "endpoint  pictures: InService" in lines
    assert "scaling   1 to 4 instances" in lines
    assert "policy    cartridge-pictures-concurrency, target 8" in lines
    assert "alarm     cartridge-pictures-rollback-5xx" in lines
