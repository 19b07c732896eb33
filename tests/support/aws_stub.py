"""AWS for the deploy scripts: moto over real HTTP, and in front of it what moto lacks.

moto has no UpdateEndpoint, no instance types after 2020, no instance pools, no quotas of SageMaker, no simulation of
policies, no blobs of images, and endpoints that are in service at once.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

ACCOUNT, REGION = "123456789012", "us-east-1"
_HOPS = {"connection", "transfer-encoding", "keep-alive", "date", "server", "content-length"}
_KNOWN_TYPE = "ml.g4dn.xlarge"  # to moto
_XML = (
    '<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><SimulatePrincipalPolicyResult>'
    "<IsTruncated>false</IsTruncated><EvaluationResults>{members}</EvaluationResults>"
    "</SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
)
_MEMBER = (
    "<member><EvalActionName>{action}</EvalActionName><EvalResourceName>{resource}</EvalResourceName>"
    "<EvalDecision>{decision}</EvalDecision></member>"
)


@dataclass
class Script:
    """What the parts that moto lacks are to do; a test sets it, `forget` unsets it."""

    quotas: dict[str, float] = field(default_factory=dict)  # by instance type
    blobs: dict[str, dict[str, Any]] = field(default_factory=dict)  # configurations of images by digest
    variants: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # of endpoint configurations, as asked for
    statuses: deque[str] = field(default_factory=deque)  # of the next descriptions of endpoints
    fails_at_start: str | None = None  # the reason of endpoints that are created
    rolls_back: str | None = None  # the reason of updates that are undone
    updates: list[dict[str, Any]] = field(default_factory=list)  # requests of UpdateEndpoint
    refused: set[str] = field(default_factory=set)  # operations that these credentials may not call


@dataclass
class AwsStub:
    url: str
    moto: str
    script: Script = field(default_factory=Script)

    def forget(self) -> None:
        """Another account, empty."""
        self.script.__dict__.update(Script().__dict__)
        address = urlsplit(self.moto)
        connection = http.client.HTTPConnection(address.hostname or "", address.port)
        connection.request("POST", "/moto-api/reset")
        connection.getresponse().read()
        connection.close()


@contextmanager
def running_stub(moto: str) -> Iterator[AwsStub]:
    class Handler(_Handler):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub = AwsStub(f"http://127.0.0.1:{server.server_port}", moto)
    Handler.stub = stub
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    stub: AwsStub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else every answer waits 40 ms for an acknowledgement

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        operation = (self.headers.get("X-Amz-Target") or "").rpartition(".")[2]
        if operation in self.stub.script.refused:
            return self._json({"__type": "AccessDeniedException", "message": f"not authorized: {operation}"}, 400)
        if self.path.startswith("/stub-blobs/"):
            return self._json(self.stub.script.blobs[unquote(self.path.removeprefix("/stub-blobs/"))])
        own = _OWN.get(operation)
        if own is not None:
            return own(self, json.loads(body))
        if b"Action=SimulatePrincipalPolicy" in body:
            return self._simulate(parse_qs(body.decode()))
        self._answer(*self._moto(body))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_any  # noqa: N815 - as http.server calls them

    def _create_endpoint_config(self, asked: dict[str, Any]) -> None:
        name = asked["EndpointConfigName"]
        known = [
            {**one, "InstanceType": _KNOWN_TYPE} for one in asked["ProductionVariants"] if "ServerlessConfig" not in one
        ]
        forwarded = {**asked, "ProductionVariants": known or asked["ProductionVariants"]}
        status, headers, answer = self._moto(json.dumps(forwarded).encode())
        if status == 200:
            self.stub.script.variants[name] = asked["ProductionVariants"]
        self._answer(status, headers, answer)

    def _describe_endpoint_config(self, asked: dict[str, Any]) -> None:
        status, headers, answer = self._moto(json.dumps(asked).encode())
        if status == 200:
            content = json.loads(answer)
            content["ProductionVariants"] = self.stub.script.variants[asked["EndpointConfigName"]]
            answer = json.dumps(content).encode()
        self._answer(status, headers, answer)

    def _create_endpoint(self, asked: dict[str, Any]) -> None:
        answer = self._moto(json.dumps(asked).encode())
        if self.stub.script.fails_at_start and answer[0] == 200:
            endpoint = _moto_endpoint(asked["EndpointName"])
            endpoint.endpoint_status, endpoint.failure_reason = "Failed", self.stub.script.fails_at_start
        self._answer(*answer)

    def _describe_endpoint(self, asked: dict[str, Any]) -> None:
        status, headers, answer = self._moto(json.dumps(asked).encode())
        if status == 200 and self.stub.script.statuses:
            answer = json.dumps(json.loads(answer) | {"EndpointStatus": self.stub.script.statuses.popleft()}).encode()
        self._answer(status, headers, answer)

    def _update_endpoint(self, asked: dict[str, Any]) -> None:
        endpoint = _moto_endpoint(asked["EndpointName"])
        if asked["EndpointConfigName"] not in self.stub.script.variants:
            return self._json(
                {"__type": "ValidationException", "message": "Could not find endpoint configuration"}, 400
            )
        self.stub.script.updates.append(asked)
        if self.stub.script.rolls_back:
            endpoint.failure_reason = self.stub.script.rolls_back
        else:
            endpoint.endpoint_config_name = asked["EndpointConfigName"]
        return self._json({"EndpointArn": endpoint.arn})

    def _list_quotas(self, asked: dict[str, Any]) -> None:
        quotas = self.stub.script.quotas.items()
        self._json({"Quotas": [{"QuotaName": f"{name} for endpoint usage", "Value": value} for name, value in quotas]})

    def _list_default_quotas(self, asked: dict[str, Any]) -> None:
        self._json(
            {"Quotas": [{"QuotaName": f"{name} for endpoint usage", "Value": 0} for name in self.stub.script.quotas]}
        )

    def _download_url(self, asked: dict[str, Any]) -> None:
        digest = asked["layerDigest"]
        self._json({"downloadUrl": f"{self.stub.url}/stub-blobs/{digest}", "layerDigest": digest})

    def _simulate(self, asked: dict[str, list[str]]) -> None:
        """Of the inline policies of a role: Allow, with wildcards, and conditions as equal to what is brought along."""
        actions = [asked[key][0] for key in asked if key.startswith("ActionNames.")]
        resources = [asked[key][0] for key in asked if key.startswith("ResourceArns.")]
        brought = {
            asked[f"{key.rpartition('.')[0]}.ContextKeyName"][0]: asked[
                f"{key.rpartition('.')[0]}.ContextKeyValues.member.1"
            ][0]
            for key in asked
            if key.endswith(".ContextKeyName")
        }
        statements = _statements_of(asked["PolicySourceArn"][0])
        members = [
            _MEMBER.format(
                action=escape(action),
                resource=escape(resource),
                decision="allowed"
                if any(_allows(statement, action, resource, brought) for statement in statements)
                else "implicitDeny",
            )
            for action in actions
            for resource in resources
        ]
        self._answer(200, {"Content-Type": "text/xml"}, _XML.format(members="".join(members)).encode())

    def _moto(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        address = urlsplit(self.stub.moto)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("connection", "expect")}
        headers["Content-Length"] = str(len(body))
        try:
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            found = {name: value for name, value in answer.getheaders() if name.lower() not in _HOPS}
            length = answer.getheader("Content-Length")
            if self.command == "HEAD" and length:
                found["Content-Length"] = length
            return answer.status, found, answer.read()
        finally:
            connection.close()

    def _json(self, content: dict[str, Any], status: int = 200) -> None:
        self._answer(status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(content).encode())

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


_OWN: dict[str, Callable[[_Handler, dict[str, Any]], None]] = {
    "CreateEndpointConfig": _Handler._create_endpoint_config,
    "DescribeEndpointConfig": _Handler._describe_endpoint_config,
    "CreateEndpoint": _Handler._create_endpoint,
    "DescribeEndpoint": _Handler._describe_endpoint,
    "UpdateEndpoint": _Handler._update_endpoint,
    "ListServiceQuotas": _Handler._list_quotas,
    "ListAWSDefaultServiceQuotas": _Handler._list_default_quotas,
    "GetDownloadUrlForLayer": _Handler._download_url,
}


def _moto_endpoint(name: str) -> Any:
    from moto.sagemaker.models import sagemaker_backends

    return sagemaker_backends[ACCOUNT][REGION].endpoints[name]


def _statements_of(role_arn: str) -> list[dict[str, Any]]:
    from moto.iam.models import iam_backends

    roles = iam_backends[ACCOUNT]["aws"].roles.values()
    role = next(one for one in roles if one.arn == role_arn)
    documents = [json.loads(text) if isinstance(text, str) else text for text in role.policies.values()]
    return [statement for document in documents for statement in document["Statement"]]


def _allows(statement: dict[str, Any], action: str, resource: str, brought: dict[str, str]) -> bool:
    keys = {key: values for test in statement.get("Condition", {}).values() for key, values in test.items()}
    return (
        statement["Effect"] == "Allow"
        and any(fnmatchcase(action, pattern) for pattern in statement["Action"])
        and any(fnmatchcase(resource, pattern) for pattern in statement["Resource"])
        and all(any(fnmatchcase(brought.get(key, ""), pattern) for pattern in values) for key, values in keys.items())
    )
