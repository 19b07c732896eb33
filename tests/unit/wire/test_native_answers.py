"""What the native dialect answers, field by field."""

from __future__ import annotations

import base64
import json
from dataclasses import fields, replace
from typing import Any

import pytest

from app.core import GeneratedImage, GenerationResult, Notice, ResolvedParams, RouteDecision, Timings
from app.errors import CartridgeError, Fitting, InvalidRequest, Overloaded
from app.wire.native import render_error, render_result
from tests.support.params import make_params

RESULT = GenerationResult(
    request_id="r1",
    created=1_700_000_000,
    images=(
        GeneratedImage(b"\x89PNG", 7, 16, 24, "image/png"),
        GeneratedImage(b"more", 8, 16, 24, "image/png", "deadline"),
    ),
    effective=make_params(prompt="un château", seeds=(7, 8)),
    completed_steps=3,
    route=RouteDecision("shapes", {"shapes": 0.75, "scenes": 0.25}, "the nearest", True),
    timings=Timings(queue_s=0.25, denoise_s=1.5, total_s=2.0),
    notices=(Notice("truncated", "prompt", "dropped: the sea"),),
)


def rendered(result: GenerationResult = RESULT) -> Any:
    return json.loads(render_result(result))


def test_answer_has_the_documented_fields_and_no_others() -> None:
    answer = rendered()
    assert list(answer) == ["id", "created", "model", "images", "effective", "routing", "timings", "warnings"]
    assert list(answer["images"][0]) == ["b64_json", "seed", "width", "height", "mime_type", "finish_reason"]
    assert list(answer["routing"]) == ["chosen", "scores", "reason", "resident"]
    assert list(answer["timings"]) == [
        "queue_s",
        "load_s",
        "encode_s",
        "denoise_s",
        "decode_s",
        "upscale_s",
        "serialize_s",
        "total_s",
    ]
    assert list(answer["warnings"][0]) == ["code", "param", "detail"]


def test_who_answered_and_when() -> None:
    answer = rendered()
    assert (answer["id"], answer["created"], answer["model"]) == ("r1", 1_700_000_000, "shapes")
    assert answer["routing"] == {
        "chosen": "shapes",
        "scores": {"shapes": 0.75, "scenes": 0.25},
        "reason": "the nearest",
        "resident": True,
    }


def test_images_are_base64_with_their_own_seed_and_size() -> None:
    first, second = rendered()["images"]
    assert [base64.b64decode(image["b64_json"]) for image in (first, second)] == [b"\x89PNG", b"more"]
    assert (first["seed"], second["seed"], first["width"], first["height"]) == (7, 8, 16, 24)
    assert first["mime_type"] == "image/png"
    assert (first["finish_reason"], second["finish_reason"]) == ("completed", "deadline")


def test_effective_holds_all_that_was_really_used() -> None:
    effective = rendered()["effective"]
    assert set(effective) == {"completed_steps", *(field.name for field in fields(ResolvedParams))}
    assert (effective["num_inference_steps"], effective["completed_steps"]) == (4, 3)
    assert effective["prompt"] == "un château"
    assert effective["seeds"] == [7, 8]


def test_timings_are_seconds_and_warnings_are_told() -> None:
    answer = rendered()
    assert (answer["timings"]["queue_s"], answer["timings"]["total_s"]) == (0.25, 2.0)
    assert answer["warnings"] == [{"code": "truncated", "param": "prompt", "detail": "dropped: the sea"}]


def test_without_warnings_the_list_is_empty() -> None:
    assert rendered(replace(RESULT, notices=()))["warnings"] == []


def test_error_has_the_documented_fields() -> None:
    error = render_error(InvalidRequest("must be\n1 to 50", param="steps"), "r9")
    assert error == {
        "error": {
            "code": "invalid_request",
            "message": "must be 1 to 50",
            "type": "InvalidRequest",
            "param": "steps",
            "request_id": "r9",
            "retryable": False,
        }
    }


@pytest.mark.parametrize(
    ("error", "retryable"),
    [(Overloaded("full", retry_after_s=5), True), (Overloaded("too slow"), False), (InvalidRequest("wrong"), False)],
)
def test_error_says_whether_to_try_again(error: CartridgeError, retryable: bool) -> None:
    assert render_error(error, "r9")["error"]["retryable"] is retryable


@pytest.mark.parametrize(
    ("fits", "shown"),
    [
        (Fitting(12), {"num_inference_steps": 12}),
        (Fitting(20, 64, 48), {"num_inference_steps": 20, "width": 64, "height": 48}),
    ],
)
def test_refusal_says_what_would_fit(fits: Fitting, shown: dict[str, int]) -> None:
    assert render_error(Overloaded("too slow", fits=fits), "r9")["error"]["fits"] == shown


def test_refusal_is_silent_where_nothing_would_fit() -> None:
    assert "fits" not in render_error(Overloaded("too slow"), "r9")["error"]
