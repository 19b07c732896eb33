"""`stream: true`: what happens is told while it happens."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.client import Client, Event, ServiceError
from tests.service.conftest import Start
from tests.support.serving import PATIENCE_S, Serving, path_without_nginx, problem

LONG: dict[str, Any] = {  # many seconds of work
    "prompt": "a red star",
    "model": "endless",
    "num_images_per_prompt": 16,
    "num_inference_steps": 1000,
    "width": 512,
    "height": 512,
}


def events(service: Serving, **fields: Any) -> list[Event]:
    with Client(service.local.url) as client:
        return list(client.stream(**fields))


def test_events_come_in_order_and_the_last_holds_the_whole_answer(service: Serving) -> None:
    asked: dict[str, Any] = {"prompt": "a red star", "seed": 7, "num_inference_steps": 4}
    queued, *steps, completed = events(service, **asked, request_id="in-order")
    assert (queued.name, queued.content["id"], queued.content["position"]) == ("queued", "in-order", 0)
    assert queued.content["predicted_s"] >= 0
    assert [(step.name, step.content["step"], step.content["steps"]) for step in steps] == [
        ("step", number, 4) for number in (1, 2, 3, 4)
    ]
    assert completed.name == "completed"
    plain = service.invoke(**asked).json()
    assert completed.content.keys() == plain.keys()
    assert (completed.content["id"], completed.content["images"]) == ("in-order", plain["images"])
    assert completed.content["effective"] == plain["effective"]


def test_the_answer_is_marked_as_a_stream_that_nobody_may_hold_back(service: Serving) -> None:
    fields = {"prompt": "a red star", "stream": True, "request_id": "marked"}
    with service.http.stream("POST", "/invocations", json=fields) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-request-id"] == "marked"
        answer.read()
    assert service.logged("marked")["status"] == 200


@pytest.mark.parametrize("nginx", [True, False], ids=["nginx", "without nginx"])
def test_events_arrive_while_the_request_runs(start: Start, endless_store: str, tmp_path: Path, nginx: bool) -> None:
    """After its first steps have arrived the request can still be cancelled, which is its last event."""
    path = {} if nginx else {"PATH": path_without_nginx(tmp_path)}
    service = start(CARTRIDGE_ROM_SOURCES=endless_store, **path).until_ready()
    with Client(service.local.url) as client, Client(service.local.url) as other:
        stream = client.stream(**LONG, request_id="running")
        assert [next(stream).name for _ in range(3)] == ["queued", "step", "step"]
        other.cancel("running")
        with pytest.raises(ServiceError, match=r"cancelled after \d+ of 1000 steps"):
            list(stream)


def test_an_error_on_the_way_is_an_event_of_the_shape_of_all_errors(service: Serving) -> None:
    fields = LONG | {"stream": True, "request_id": "stopped"}
    with service.http.stream("POST", "/invocations", json=fields) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "event: queued"
        assert service.http.delete("/requests/stopped").status_code == 200
        *_, name, data, end = lines
    assert (name, end) == ("event: error", "")
    error = json.loads(data.removeprefix("data: "))["error"]
    assert (error["code"], error["type"], error["request_id"]) == ("cancelled", "Cancelled", "stopped")
    assert service.logged("stopped")["status"] == 499


@pytest.mark.parametrize(("model", "side"), [("fake", 64), ("tiny", 8)])  # with a tiny decoder, and without
def test_partial_images_are_pictures_of_what_comes(service: Serving, model: str, side: int) -> None:
    asked: dict[str, Any] = {"prompt": "a red star", "model": model, "num_inference_steps": 6, "n": 2}
    told = events(service, **asked, partial_images=2)
    partial = [event.content for event in told if event.name == "partial_image"]
    assert [(content["step"], content["index"]) for content in partial] == [(2, 0), (2, 1), (4, 0), (4, 1)]
    for content in partial:
        with Image.open(io.BytesIO(base64.b64decode(content["b64_json"]))) as image:
            image.load()
            assert (image.format, image.width, image.height) == ("PNG", side, side)
    names = [event.name for event in told]
    assert names[names.index("partial_image") - 1] == "step"
    assert told[names.index("partial_image") - 1].content["step"] == 2


def test_a_stream_that_is_cut_ends_its_request(service: Serving) -> None:
    with Client(service.local.url) as client:
        stream = client.stream(**LONG, request_id="cut")
        assert next(stream).name == "queued"
        service.until_depth(1)
        stream.close()
    service.until_depth(0)
    assert service.logged("cut")["status"] == 499


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"width": 100}, 422, "invalid_request"),
        ({"partial_images": 17}, 422, "invalid_request"),
        ({"model": "fke"}, 404, "unknown_rom"),
    ],
)
def test_a_stream_that_is_refused_is_an_ordinary_error(
    service: Serving, fields: dict[str, Any], status: int, code: str
) -> None:
    problem(service.invoke(prompt="a red star", stream=True, **fields), status, code)


def test_streams_run_side_by_side(service: Serving) -> None:
    asked = [{"prompt": f"star number {number}", "seed": number, "num_inference_steps": 40} for number in range(8)]
    alone = [service.invoke(**fields).json()["images"] for fields in asked]
    together = [service.threads.submit(events, service, **fields) for fields in asked]
    for future, images in zip(together, alone, strict=True):
        *_, completed = future.result(PATIENCE_S)
        assert completed.content["images"] == images


def test_a_stream_outlives_the_pauses_of_its_reader(service: Serving) -> None:
    """What was not read yet waits in the buffers on the way."""
    fields = {"prompt": "a red star", "model": "endless", "num_inference_steps": 1000, "stream": True}
    with service.http.stream("POST", "/invocations", json=fields | {"request_id": "unread"}) as answer:
        service.logged("unread")
        lines = answer.read().decode().splitlines()
    assert lines.count("event: step") == 1000
    assert lines.count("event: completed") == 1
