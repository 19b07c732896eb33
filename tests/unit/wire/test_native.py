"""What the native dialect accepts, and how it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.core import GenerationParams, OutputOptions
from app.errors import InvalidRequest, UndecodableRequest
from app.wire.native import MAX_PROMPT_CHARACTERS, MAX_SEED, decode_json, parse_request

FIELDS: dict[str, Any] = {
    "prompt": "a cat",
    "negative_prompt": "a dog",
    "num_inference_steps": 12,
    "guidance_scale": 3.5,
    "scheduler": "euler",
    "seed": 5,
    "width": 64,
    "height": 128,
    "num_images_per_prompt": 3,
    "preset": "fast",
}

ALIASES = [  # as documented, not as the code lists them: an alias that is dropped there must fail here
    ("inputs", "prompt"),
    ("uncond_prompt", "negative_prompt"),
    ("rom", "model"),
    ("steps", "num_inference_steps"),
    ("cfg_scale", "guidance_scale"),
    ("n", "num_images_per_prompt"),
]


def refusal(**content: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as raised:
        parse_request({"prompt": "a cat"} | content, "r1")
    return raised.value


def test_prompt_alone_is_enough_and_the_rest_is_left_to_the_rom() -> None:
    request = parse_request({"prompt": "a cat"}, "r1")
    assert request.params == GenerationParams(prompt="a cat")
    assert (request.request_id, request.model, request.output) == ("r1", "auto", OutputOptions("png", None))


def test_every_field_arrives() -> None:
    assert parse_request(FIELDS, "r1").params == GenerationParams(**FIELDS)


def test_fields_beside_the_image_arrive() -> None:
    content = {
        "model": "shapes",
        "output_format": "webp",
        "output_compression": 40,
        "timeout_s": 9,
        "request_id": "mine",
    }
    request = parse_request({"prompt": "a cat", **content}, "r1")
    assert (request.model, request.timeout_s, request.request_id) == ("shapes", 9, "mine")
    assert request.output == OutputOptions("webp", 40)


def test_time_and_progress_are_as_asked_or_as_documented() -> None:
    plain = parse_request({"prompt": "a cat"}, "r1")
    assert (plain.on_deadline, plain.stream, plain.partial_images, plain.is_named) == ("partial", False, 0, False)
    content = {"on_deadline": "degrade", "stream": True, "partial_images": 16, "request_id": "mine"}
    request = parse_request({"prompt": "a cat", **content}, "r1")
    assert (request.on_deadline, request.stream, request.partial_images) == ("degrade", True, 16)
    assert request.is_named


def test_partial_images_need_a_stream() -> None:
    assert refusal(partial_images=1).param == "partial_images"


@pytest.mark.parametrize(("alias", "field"), ALIASES)
def test_alias_means_the_field(alias: str, field: str) -> None:
    plain: dict[str, Any] = FIELDS | {"model": "shapes"}
    renamed = {alias if name == field else name: value for name, value in plain.items()}
    assert alias in renamed
    assert parse_request(renamed, "r1") == parse_request(plain, "r1")


@pytest.mark.parametrize(("alias", "field"), ALIASES)
def test_field_under_two_names_is_refused(alias: str, field: str) -> None:
    error = refusal(**{field: FIELDS.get(field, "shapes"), alias: FIELDS.get(field, "shapes")})
    assert error.param in (alias, field)
    assert "twice" in error.message


def test_hugging_face_shape_is_the_flat_one() -> None:
    parameters = {name: value for name, value in FIELDS.items() if name != "prompt"}
    assert parse_request({"inputs": "a cat", "parameters": parameters}, "r1") == parse_request(FIELDS, "r1")


def test_field_inside_and_outside_of_parameters_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="twice") as raised:
        parse_request({"inputs": "a cat", "seed": 1, "parameters": {"seed": 2}}, "r1")
    assert raised.value.param == "seed"


@pytest.mark.parametrize("parameters", ["steps=5", [1], 5])
def test_parameters_must_be_an_object(parameters: object) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_request({"inputs": "a cat", "parameters": parameters}, "r1")
    assert raised.value.param == "parameters"


def test_unknown_field_is_named_with_those_that_are_known() -> None:
    error = refusal(negativ_prompt="a dog")
    assert error.param == "negativ_prompt"
    assert "'negativ_prompt'" in error.message
    assert "negative_prompt" in error.message


def test_unknown_field_inside_parameters_is_named() -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_request({"inputs": "a cat", "parameters": {"stepz": 5}}, "r1")
    assert raised.value.param == "stepz"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompt", 5),
        ("prompt", None),
        ("prompt", ""),
        ("prompt", " \n\t "),
        ("prompt", "x" * (MAX_PROMPT_CHARACTERS + 1)),
        ("negative_prompt", ["a dog"]),
        ("model", ""),
        ("steps", "20"),
        ("steps", 2.5),
        ("steps", True),
        ("steps", 0),
        ("num_inference_steps", -1),
        ("cfg_scale", "high"),
        ("guidance_scale", -0.1),
        ("guidance_scale", float("inf")),
        ("guidance_scale", float("nan")),
        ("seed", -1),
        ("seed", MAX_SEED + 1),
        ("seeds", []),
        ("seeds", [1, "2"]),
        ("seeds", [1, -1]),
        ("seeds", [MAX_SEED + 1]),
        ("width", 0),
        ("height", 7),
        ("n", 0),
        ("output_format", "gif"),
        ("output_compression", 101),
        ("timeout_s", 0),
        ("on_deadline", "never"),
        ("stream", "yes"),
        ("stream", 1),
        ("partial_images", -1),
        ("partial_images", 17),
        ("request_id", "two\nlines"),
        ("request_id", "x" * 65),
        ("request_id", "x "),
        ("preset", None),
    ],
)
def test_wrong_value_is_refused_under_the_name_the_caller_used(name: str, value: object) -> None:
    error = refusal(**{name: value})
    assert error.param == name
    assert error.http_status == 422


def test_missing_prompt_is_named() -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_request({"steps": 5}, "r1")
    assert raised.value.param == "prompt"


def test_longest_prompt_is_accepted() -> None:
    prompt = "x" * MAX_PROMPT_CHARACTERS
    assert parse_request({"prompt": prompt}, "r1").params.prompt == prompt


@pytest.mark.parametrize("seeds", [[1], [1, 2, 2]])
def test_seeds_say_how_many_images(seeds: list[int]) -> None:
    assert parse_request({"prompt": "a cat", "seeds": seeds}, "r1").params.seeds == tuple(seeds)
    assert parse_request({"prompt": "a cat", "seeds": seeds, "n": len(seeds)}, "r1").params.seeds == tuple(seeds)


def test_seed_and_seeds_exclude_each_other() -> None:
    assert refusal(seed=1, seeds=[1, 2]).param == "seeds"


def test_number_of_images_must_match_the_seeds() -> None:
    assert refusal(seeds=[1, 2], num_images_per_prompt=3).param == "num_images_per_prompt"


@pytest.mark.parametrize("seed", [0, MAX_SEED])
def test_seeds_at_the_ends_of_their_range_are_accepted(seed: int) -> None:
    assert parse_request({"prompt": "a cat", "seed": seed}, "r1").params.seed == seed


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"prompt=a cat",
        b"\xff\xfe{",
        b'{"prompt": "a cat", "guidance_scale": NaN}',
        b'{"prompt": "a cat", "guidance_scale": -Infinity}',
        b'{"prompt": "half a pair \\ud83d"}',
        b'{"\\udc00": 1, "prompt": "a cat"}',
        b'{"seed": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'"a cat"',
        b"[1]",
        b"null",
    ],
)
def test_body_that_is_no_json_object_is_undecodable(body: bytes) -> None:
    with pytest.raises(UndecodableRequest) as raised:
        decode_json(body)
    assert raised.value.http_status == 400


def test_text_of_any_language_survives() -> None:
    prompt = "un château, 城, 🏰"
    for ensure_ascii in (True, False):
        body = json.dumps({"prompt": prompt}, ensure_ascii=ensure_ascii).encode()
        assert parse_request(decode_json(body), "r1").params.prompt == prompt


def test_number_too_large_for_a_float_is_refused_by_field() -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_request(decode_json(b'{"prompt": "a cat", "guidance_scale": 1e999}'), "r1")
    assert raised.value.param == "guidance_scale"
