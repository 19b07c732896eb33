"""Rules of a container that holds many models. They are looked at where GET /models answers 200."""

from __future__ import annotations

import json
from functools import partial

import httpx

from deploy.local.conformance.rule import Broken, Skipped, rule
from deploy.local.conformance.subject import Subject, summary
from deploy.local.container import inspect_image
from deploy.local.headers import TARGET_MODEL

LABEL = "com.amazonaws.sagemaker.capabilities.multi-models"
_NAME = "conformance-model"
_UNKNOWN = "conformance-unknown"


def hosting(subject: Subject) -> httpx.Response:
    """The list of models. Raises Skipped where it holds one model only."""
    answer = subject.get("/models")
    if not answer.is_success:
        labels = inspect_image(subject.image).get("Labels") if subject.is_image else None
        labelled = (labels or {}).get(LABEL) == "true"
        hint = "; its label says it would with --env SAGEMAKER_MULTI_MODEL=true" if labelled else ""
        raise Skipped(f"GET /models is answered {answer.status_code}: no multi-model container{hint}")
    return answer


def listed(subject: Subject) -> dict[str, str]:
    """The addresses of the models by their names. Raises Broken, Skipped."""
    answer = hosting(subject)
    try:
        return {model["modelName"]: model["modelUrl"] for model in answer.json()["models"]}
    except (ValueError, KeyError, TypeError) as error:
        raise Broken(f"another shape: {summary(answer)}") from error


def loadable(subject: Subject) -> str:
    """What is to be loaded. Raises Skipped."""
    hosting(subject)
    if subject.asked.model_url is None:
        raise Skipped("--model-url names a model, unpacked, as the container sees it")
    return subject.asked.model_url


def load(subject: Subject) -> httpx.Response:
    body = {"model_name": _NAME, "url": loadable(subject)}
    return subject.post(json.dumps(body).encode(), {"Content-Type": "application/json"}, "/models")


def expect(answer: httpx.Response, status: int, what: str) -> str:
    """Raises Broken."""
    if answer.status_code != status:
        raise Broken(f"{what} is answered {summary(answer)}, not {status}")
    return f"{what} is answered {status}"


@rule(
    "models-list",
    'GET /models answers {"models": [{"modelName", "modelUrl"}, ...]}.',
    "SageMaker guide, multi-model: List models",
)
def models_list(subject: Subject) -> str:
    return f"{len(listed(subject))} models"


@rule(
    "models-unknown",
    "A model that is not loaded is answered 404.",
    "SageMaker guide, multi-model: Get, Unload and Invoke model",
)
def models_unknown(subject: Subject) -> str:
    hosting(subject)
    invoke = partial(subject.post, subject.asked.body, {TARGET_MODEL: "unknown.tar.gz"})
    expect(subject.get(f"/models/{_UNKNOWN}"), 404, "GET")
    expect(subject.get(f"/models/{_UNKNOWN}", "DELETE"), 404, "DELETE")
    return expect(invoke(f"/models/{_UNKNOWN}/invoke"), 404, "invoke")


@rule(
    "models-load",
    "POST /models loads a model, which is then described and listed.",
    "SageMaker guide, multi-model: Load model",
)
def models_load(subject: Subject) -> str:
    expect(load(subject), 200, "POST /models")
    described = subject.get(f"/models/{_NAME}")
    expect(described, 200, "GET")
    if _NAME not in listed(subject):
        raise Broken("GET /models does not list it")
    return f"loaded: {summary(described)}"


def loaded(subject: Subject) -> None:
    """Raises Skipped where loading does not work."""
    loadable(subject)
    if not subject.get(f"/models/{_NAME}").is_success:
        raise Skipped("no model is loaded")


@rule("models-conflict", "Loading a model that is loaded is answered 409.", "SageMaker guide, multi-model: Load model")
def models_conflict(subject: Subject) -> str:
    loaded(subject)
    return expect(load(subject), 409, "POST /models again")


@rule(
    "models-invoke",
    "POST /models/{name}/invoke is served as /invocations is.",
    "SageMaker guide, multi-model: Invoke model",
)
def models_invoke(subject: Subject) -> str:
    loaded(subject)
    answer = subject.post(subject.asked.body, {TARGET_MODEL: "conformance.tar.gz"}, f"/models/{_NAME}/invoke")
    return expect(answer, 200, "invoke")


@rule(
    "models-unload",
    "DELETE /models/{name} unloads it; then it is answered 404.",
    "SageMaker guide, multi-model: Unload model",
)
def models_unload(subject: Subject) -> str:
    loaded(subject)
    expect(subject.get(f"/models/{_NAME}", "DELETE"), 200, "DELETE")
    return expect(subject.get(f"/models/{_NAME}"), 404, "GET after DELETE")
