"""Who may do what, as IAM documents. Every statement has its reason; `role --documents` writes both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from deploy.sagemaker.config import EndpointFile
from deploy.sagemaker.image import ImageUri

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


@dataclass(frozen=True)
class Statement:
    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    reason: str
    condition: dict[str, Any] = field(default_factory=dict)

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "Sid": self.sid,
            "Effect": "Allow",
            "Action": list(self.actions),
            "Resource": list(self.resources),
        }
        return found | ({"Condition": self.condition} if self.condition else {})


@dataclass(frozen=True)
class Scope:
    """What the ARNs of an endpoint's things are made of."""

    config: EndpointFile
    account: str
    partition: str = "aws"

    def arn(self, service: str, resource: str, *, regional: bool = True) -> str:
        region = self.config.region if regional else ""
        return f"arn:{self.partition}:{service}:{region}:{self.account}:{resource}"

    def bucket(self, address: str) -> str:
        return f"arn:{self.partition}:s3:::{address.removeprefix('s3://').partition('/')[0]}"

    def objects(self, address: str) -> str:
        return f"arn:{self.partition}:s3:::{address.removeprefix('s3://')}*"

    @property
    def role_arn(self) -> str:
        return self.arn("iam", f"role/{self.config.role}", regional=False)

    @property
    def sagemaker(self) -> dict[str, str]:
        """Endpoint, configurations and models by kind; the latter two are called after the endpoint."""
        name = self.config.name
        return {kind: self.arn("sagemaker", f"{kind}/{name}{end}") for kind, end in _ENDINGS.items()}


_ENDINGS = {"endpoint": "", "endpoint-config": "-*", "model": "-*", "transform-job": "-*"}


def document(statements: list[Statement]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [statement.document for statement in statements]}


def execution_statements(scope: Scope) -> list[Statement]:
    """What SageMaker may do for the containers, and the containers themselves."""
    config = scope.config
    image, source = ImageUri.parse(config.image), config.roms.source
    repository = f"arn:{scope.partition}:ecr:{image.region}:{image.account}:repository/{image.repository}"
    prefix = source.removeprefix("s3://").partition("/")[2]
    below = {"StringLike": {"s3:prefix": [f"{prefix}*"]}}
    pull = ("ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage")
    write_logs = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams")
    statements = [
        Statement("PullToken", ("ecr:GetAuthorizationToken",), ("*",), "ECR's token is of no single repository"),
        Statement("PullImage", pull, (repository,), "the image, and no other"),
        Statement("ReadRoms", ("s3:GetObject",), (scope.objects(source),), "the ROMs, and nothing else of the bucket"),
        Statement("ListRoms", ("s3:ListBucket",), (scope.bucket(source),), "which ROMs there are", below),
        Statement(
            "WriteLogs",
            write_logs,
            (scope.arn("logs", "log-group:/aws/sagemaker/*"),),
            "the container's output; batch jobs share one group",
        ),
        Statement(
            "WriteMetrics",
            ("cloudwatch:PutMetricData",),
            ("*",),
            "CloudWatch's metrics are of no resource; the namespace bounds it",
            {"StringLike": {"cloudwatch:namespace": ["AWS/SageMaker", "/aws/sagemaker/*"]}},
        ),
        Statement(
            "WatchAlarms",
            ("cloudwatch:DescribeAlarms",),
            (scope.arn("cloudwatch", f"alarm:cartridge-{config.name}-*"),),
            "an update rolls back when one of them fires",
        ),
    ]
    return statements + _output_statements(scope) + _optional_statements(scope)


def _output_statements(scope: Scope) -> list[Statement]:
    """Of asynchronous answers and batch jobs."""
    config, statements = scope.config, []
    if part := config.asynchronous:
        places = tuple(scope.objects(address) for address in (part.output, part.failure) if address)
        statements.append(Statement("WriteAnswers", ("s3:PutObject",), places, "asynchronous answers and failures"))
        if topics := tuple(topic for topic in (part.success_topic, part.error_topic) if topic):
            statements.append(Statement("Notify", ("sns:Publish",), topics, "who waits for answers"))
    if config.batch:
        source, target = config.batch.input, config.batch.output
        statements += [
            Statement("ReadBatch", ("s3:GetObject",), (scope.objects(source),), "the requests of a batch job"),
            Statement("ListBatch", ("s3:ListBucket",), (scope.bucket(source),), "which files they are in"),
            Statement("WriteBatch", ("s3:PutObject",), (scope.objects(target),), "its answers"),
        ]
    return statements


def _optional_statements(scope: Scope) -> list[Statement]:
    config, statements = scope.config, []
    if config.kms_key:
        use = ("kms:Decrypt", "kms:GenerateDataKey", "kms:CreateGrant", "kms:DescribeKey")
        statements.append(Statement("UseKey", use, (config.kms_key,), "disks and objects that this key encrypts"))
    if config.vpc:
        actions = (
            "ec2:CreateNetworkInterface",
            "ec2:CreateNetworkInterfacePermission",
            "ec2:DeleteNetworkInterface",
            "ec2:DeleteNetworkInterfacePermission",
            "ec2:DescribeDhcpOptions",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcs",
        )
        statements.append(Statement("JoinVpc", actions, ("*",), "EC2 lets only some of these be bound to a resource"))
    return statements


def deployer_statements(scope: Scope) -> list[Statement]:
    """What these scripts need for this endpoint."""
    config, named = scope.config, scope.sagemaker
    image, source = ImageUri.parse(config.image), config.roms.source
    repository = f"arn:{scope.partition}:ecr:{image.region}:{image.account}:repository/{image.repository}"
    group = scope.arn("logs", f"log-group:/aws/sagemaker/Endpoints/{config.name}*")
    passed = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    alarm = scope.arn("cloudwatch", f"alarm:cartridge-{config.name}-*")
    linked = scope.arn("iam", f"role/aws-service-role/{_SCALING_SERVICE}/*", regional=False)
    statements = [
        Statement("RunEndpoint", _RUN, tuple(named.values()), "its endpoint, configurations, models and jobs"),
        Statement("FindThem", _LIST, ("*",), "lists are of no single resource"),
        Statement(
            "PassRole", ("iam:PassRole",), (scope.role_arn,), "the execution role, and only to SageMaker", passed
        ),
        Statement("CheckRole", _CHECK_ROLE, (scope.role_arn,), "preflight asks whether the role can read the ROMs"),
        Statement("PushToken", ("ecr:GetAuthorizationToken",), ("*",), "ECR's token is of no single repository"),
        Statement("PushImage", _PUSH_IMAGE, (repository,), "`push`; preflight reads the manifest and the labels"),
        Statement("PushRoms", _PUSH_ROMS, (scope.objects(source),), "`roms push`; preflight reads"),
        Statement("ListRoms", ("s3:ListBucket",), (scope.bucket(source),), "which ROMs are there already"),
        Statement("ReadQuotas", _QUOTAS, ("*",), "preflight reads which instances there may be, and how many"),
        Statement(
            "Scale", _SCALE, ("*",), "autoscaling; its policies have no ARN to be named by before they are there"
        ),
        Statement("FirstScaling", ("iam:CreateServiceLinkedRole",), (linked,), "the account's first autoscaling"),
        Statement("Alarms", _ALARMS, (alarm,), "alarms of this endpoint, for rollbacks and for scaling from zero"),
        Statement("ReadLogs", ("logs:FilterLogEvents",), (group,), "`logs` shows what containers wrote"),
    ]
    if part := config.asynchronous:
        places = tuple(scope.objects(address) for address in (part.output, part.failure) if address)
        statements.append(
            Statement("SmokeAsync", ("s3:PutObject", "s3:GetObject"), places, "`smoke` asks and reads there")
        )
    if config.kms_key:
        use = ("kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey", "kms:CreateGrant")
        statements.append(Statement("UseKey", use, (config.kms_key,), "`roms push`, and disks of instances"))
    return statements


_VERBS = {
    "Model": ("Create", "Describe", "Delete"),
    "EndpointConfig": ("Create", "Describe", "Delete"),
    "Endpoint": ("Create", "Update", "Describe", "Delete", "Invoke"),
    "EndpointAsync": ("Invoke",),
    "TransformJob": ("Create", "Describe"),
    "Tags": ("Add", "List"),
}
_RUN = tuple(f"sagemaker:{verb}{noun}" for noun, verbs in _VERBS.items() for verb in verbs)
_LIST = (
    "sagemaker:ListModels",
    "sagemaker:ListEndpointConfigs",
    "sagemaker:ListTransformJobs",
    "cloudwatch:DescribeAlarms",
)
_CHECK_ROLE = ("iam:GetRole", "iam:SimulatePrincipalPolicy")
_PUSH_ROMS = ("s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload")
_QUOTAS = ("servicequotas:ListServiceQuotas", "servicequotas:ListAWSDefaultServiceQuotas")
_PUSH_IMAGE = (
    "ecr:CreateRepository",
    "ecr:DescribeRepositories",
    "ecr:ListTagsForResource",
    "ecr:TagResource",
    "ecr:GetLifecyclePolicy",
    "ecr:PutLifecyclePolicy",
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
)
_SCALING_SERVICE = "sagemaker.application-autoscaling.amazonaws.com"
_SCALE = (
    "application-autoscaling:RegisterScalableTarget",
    "application-autoscaling:DeregisterScalableTarget",
    "application-autoscaling:DescribeScalableTargets",
    "application-autoscaling:PutScalingPolicy",
    "application-autoscaling:DeleteScalingPolicy",
    "application-autoscaling:DescribeScalingPolicies",
    "application-autoscaling:TagResource",
)
_ALARMS = (
    "cloudwatch:PutMetricAlarm",
    "cloudwatch:DeleteAlarms",
    "cloudwatch:ListTagsForResource",
    "cloudwatch:TagResource",
)


def invoker_statements(scope: Scope) -> list[Statement]:
    """What a caller needs."""
    endpoint = scope.sagemaker["endpoint"]
    if scope.config.kind != "async":
        return [Statement("Invoke", ("sagemaker:InvokeEndpoint",), (endpoint,), "calls, streams among them")]
    part = scope.config.asynchronous
    assert part is not None
    places = tuple(scope.objects(address) for address in (part.output, part.failure) if address)
    return [
        Statement("Invoke", ("sagemaker:InvokeEndpointAsync",), (endpoint,), "calls"),
        Statement("ReadAnswers", ("s3:GetObject",), places, "the answers"),
    ]
