"""What a wrong request gets, and that nothing else suffers from it."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass

import httpx
import pytest
from PIL import Image

from tests.support.serving import Serving, problem


@dataclass(frozen=True)
class Case:
    name: str
    body: bytes
    status: int
    code: str
    param: str | None = None


def wrong(name: str, param: str, **fields: object) -> Case:
    return Case(name, json.dumps({"prompt": "a red star"} | fields).encode(), 422, "invalid_request", param)


def png(side: int) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


DOT = png(8)


def undecodable(name: str, body: bytes) -> Case:
    return Case(name, body, 400, "undecodable_request")


CASES = [
    undecodable("no JSON", b"\xff\xfe{"),
    undecodable("half an object", b'{"prompt": "a red'),
    undecodable("no object", b'["a red star"]'),
    undecodable("nothing", b""),
    undecodable("deep nesting", b"[" * 200_000),
    undecodable("NaN", b'{"prompt": "a", "guidance_scale": NaN}'),
    undecodable("infinity", b'{"prompt": "a", "guidance_scale": -Infinity}'),
    wrong("number beyond any float", "guidance_scale", guidance_scale=10**400),
    wrong("empty prompt", "prompt", prompt=""),
    wrong("no prompt in a list", "prompt", prompt=[]),
    wrong("empty prompt in a list", "prompt", prompt=["a red star", ""]),
    wrong("too many prompts", "prompt", model="fake", prompt=["a red star"] * 5),
    wrong("seeds that do not go into the prompts", "seeds", prompt=["a", "b"], seeds=[1, 2, 3]),
    wrong("blank prompt", "prompt", prompt=" \n\t"),
    wrong("no prompt", "prompt", prompt=None),
    wrong("unknown field", "promt", promt="a red star"),
    wrong("text for a number", "steps", steps="4"),
    wrong("number for text", "prompt", prompt=7),
    wrong("truth for a number", "seed", seed=True),
    wrong("negative seed", "seed", seed=-1),
    wrong("field under two names", "cfg_scale", guidance_scale=1, cfg_scale=2),
    wrong("width that is no multiple", "width", width=100),
    wrong("height that is no multiple", "height", height=65),
    wrong("size above the limit", "width", width=4096, height=4096),
    wrong("no steps", "num_inference_steps", num_inference_steps=0),
    wrong("steps above the limit", "num_inference_steps", num_inference_steps=10_000),
    wrong("images above the limit", "num_images_per_prompt", model="fake", num_images_per_prompt=5),
    wrong("unknown scheduler", "scheduler", scheduler="pndm"),
    wrong("unknown preset", "preset", preset="best"),
    wrong("unknown decoder", "decoder", decoder="half"),
    wrong("decoder that the ROM has not", "decoder", model="tiny", decoder="tiny"),
    wrong("unknown way with long prompts", "long_prompts", long_prompts="forget"),
    wrong("image that is none", "image", image="aGVsbG8="),
    wrong("image that is no text", "image", image=7),
    wrong("half an image", "image", image=DOT[:40]),
    wrong("mask without an image", "mask_image", mask_image=DOT),
    wrong("mask of another size", "mask_image", image=png(16), mask_image=DOT),
    wrong("mask without transparency", "mask_image", image=DOT, mask_image=DOT, mask_mode="alpha"),
    wrong("unknown mask mode", "mask_mode", image=DOT, mask_image=DOT, mask_mode="black"),
    wrong("mask mode without a mask", "mask_mode", image=DOT, mask_mode="alpha"),
    wrong("strength without an image", "strength", strength=0.5),
    wrong("no strength", "strength", image=DOT, strength=0),
    wrong("strength above 1", "strength", image=DOT, strength=1.5),
    wrong("strength that leaves no step", "strength", image=DOT, strength=0.1, num_inference_steps=4),
    wrong("image above the ROM's size", "image", image=png(1024)),
    wrong("interval of one number", "guidance_interval", guidance_interval=[0.5]),
    wrong("interval that ends before it starts", "guidance_interval", guidance_interval=[0.5, 0.2]),
    wrong("interval beyond the steps", "guidance_interval", guidance_interval=[0, 2]),
    wrong("no time", "timeout_s", timeout_s=0),
    Case("too large for nginx", b" " * 30_000_000, 413, "request_too_large"),
    Case("too large for the app", b" " * 8_000_000, 413, "request_too_large"),
    Case("unknown ROM", b'{"prompt": "a", "model": "fke"}', 404, "unknown_rom", "model"),
]


def send(service: Serving, case: Case) -> httpx.Response:
    return service.http.post("/invocations", content=case.body)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_refused_with_the_field_by_name(service: Serving, case: Case) -> None:
    error = problem(send(service, case), case.status, case.code)
    assert (error["param"], error["retryable"]) == (case.param, False)


def test_the_service_goes_on_after_all_of_it(service: Serving) -> None:
    refused = [send(service, case).status_code for case in CASES]
    assert refused == [case.status for case in CASES]
    assert service.invoke(prompt="a red star").status_code == 200
    assert service.http.get("/ping").status_code == 200


def test_a_size_that_is_no_multiple_comes_with_the_nearest_that_is(service: Serving) -> None:
    assert "104" in service.invoke(prompt="a", width=102).json()["error"]["message"]


def test_an_unknown_rom_comes_with_near_ones(service: Serving) -> None:
    assert "near: fake" in service.invoke(prompt="a", model="fke").json()["error"]["message"]


@pytest.mark.parametrize("model", ["fake", "tiny"])
def test_a_long_prompt_is_cut_and_the_warning_holds_what_was_dropped(service: Serving, model: str) -> None:
    prompt = " ".join(f"word{number}" for number in range(10_600))[:100_000]
    answer = service.invoke(prompt=prompt, model=model, num_inference_steps=1)
    assert answer.status_code == 200
    (warning,) = answer.json()["warnings"]
    assert (warning["code"], warning["param"]) == ("truncated", "prompt")
    dropped = warning["detail"].partition("dropped: ")[2].partition("...")[0]
    assert len(dropped) == 500  # of some 99,000
    assert dropped in prompt
    assert not prompt.startswith(dropped)


def test_a_body_that_says_it_is_json_in_another_charset_is_refused(service: Serving) -> None:
    body = '{"prompt": "étoile"}'.encode("latin-1")
    headers = {"Content-Type": "application/json; charset=latin-1"}
    problem(service.http.post("/invocations", content=body, headers=headers), 400, "undecodable_request")
