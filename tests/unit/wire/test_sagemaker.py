"""SageMaker's headers add to a body and never overrule it."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import InvalidRequest
from app.wire.native import parse_request
from app.wire.sagemaker import CUSTOM_ATTRIBUTES, INFERENCE_ID, TARGET_MODEL, apply_headers

PROMPT = {"prompt": "a cat"}


def with_attributes(text: str, **content: Any) -> dict[str, Any]:
    return apply_headers(PROMPT | content, {CUSTOM_ATTRIBUTES: text})


def test_without_headers_the_body_is_as_it_was() -> None:
    assert apply_headers(PROMPT, {}) == PROMPT


def test_custom_attributes_are_fields() -> None:
    assert with_attributes("timeout_s=12.5,request_id=abc,model=shapes") == {
        **PROMPT,
        "timeout_s": 12.5,
        "request_id": "abc",
        "model": "shapes",
    }


def test_spaces_and_empty_parts_do_not_matter() -> None:
    assert with_attributes(" model=shapes ,, request_id=abc ,") == {**PROMPT, "model": "shapes", "request_id": "abc"}


@pytest.mark.parametrize("text", ["trace=1", "Model=shapes", "prompt=a dog", "model_name=shapes", "free text"])
def test_attributes_of_the_caller_are_left_alone(text: str) -> None:
    assert with_attributes(text) == PROMPT


def test_timeout_that_is_no_number_names_the_header() -> None:
    with pytest.raises(InvalidRequest, match="'soon'") as raised:
        with_attributes("timeout_s=soon")
    assert raised.value.param == CUSTOM_ATTRIBUTES


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "0"])
def test_timeout_that_is_no_duration_is_refused(seconds: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_request(with_attributes(f"timeout_s={seconds}"), "r1")
    assert raised.value.param == "timeout_s"


def test_target_model_names_a_rom() -> None:
    assert apply_headers(PROMPT, {TARGET_MODEL: "shapes"})["model"] == "shapes"


def test_target_model_is_stronger_than_a_custom_attribute() -> None:
    assert apply_headers(PROMPT, {TARGET_MODEL: "shapes", CUSTOM_ATTRIBUTES: "model=scenes"})["model"] == "shapes"


def test_inference_id_is_the_request_id() -> None:
    assert parse_request(apply_headers(PROMPT, {INFERENCE_ID: "abc"}), "r1").request_id == "abc"


@pytest.mark.parametrize("name", ["model", "rom"])
def test_model_of_the_body_wins(name: str) -> None:
    content = apply_headers(PROMPT | {name: "scenes"}, {TARGET_MODEL: "shapes"})
    assert parse_request(content, "r1").model == "scenes"


def test_field_inside_parameters_wins() -> None:
    body = {"inputs": "a cat", "parameters": {"timeout_s": 3, "rom": "scenes", "request_id": "mine"}}
    headers = {CUSTOM_ATTRIBUTES: "timeout_s=5,model=shapes", INFERENCE_ID: "theirs"}
    request = parse_request(apply_headers(body, headers), "r1")
    assert (request.timeout_s, request.model, request.request_id) == (3, "scenes", "mine")


def test_headers_do_not_change_the_callers_body() -> None:
    body = dict(PROMPT)
    apply_headers(body, {TARGET_MODEL: "shapes"})
    assert body == PROMPT
