"""The container from its start to its end, as SageMaker runs it."""

from __future__ import annotations

import base64
import io
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from deploy.local.conformance.command import main as conformance
from deploy.local.container import MODEL_DIR, ContainerError, docker
from deploy.running import wait_until
from tests.support.containers import ROM, Running, run, running

KILL_GUNICORN = """
import os, pathlib
for process in pathlib.Path("/proc").iterdir():
    if process.name.isdigit() and b"gunicorn\\0" in (process / "cmdline").read_bytes():
        os.kill(int(process.name), 9)
"""
CONFINED = ("--read-only", "--tmpfs=/tmp", "--cpus=2", "--memory=4g")


MULTI_MODEL = ("--env", "SAGEMAKER_MULTI_MODEL=true", "--model-url", MODEL_DIR)
OF_MANY_MODELS = {"models-list", "models-unknown", "models-load", "models-conflict", "models-invoke", "models-unload"}
NOT_OFFERED = {"execution-parameters"}


@pytest.mark.parametrize(
    ("options", "not_asked"), [((), NOT_OFFERED | OF_MANY_MODELS), (MULTI_MODEL, NOT_OFFERED)], ids=["one", "many"]
)
def test_the_image_keeps_all_rules(
    image: str, options: tuple[str, ...], not_asked: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        conformance([image, "--model-data", str(ROM), "--json", *options])
    verdicts = {rule["id"]: rule["verdict"] for rule in json.loads(capsys.readouterr().out)}
    assert {name for name, verdict in verdicts.items() if verdict != "kept"} == not_asked, verdicts


def test_it_draws_with_a_read_only_root_two_processors_and_four_gigabytes(image: str) -> None:
    with running(image, *CONFINED) as container:
        answer = container.draw(seed=3).json()
        with Image.open(io.BytesIO(base64.b64decode(answer["images"][0]["b64_json"]))) as picture:
            assert picture.size == (128, 128)


def test_what_was_accepted_is_answered_before_it_stops(image: str) -> None:
    with running(image, *CONFINED) as container, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(container.draw, seed=seed, num_inference_steps=20) for seed in range(8)]
        wait_until(lambda: accepted(container) + sum(answer.done() for answer in asked) == 8, 30)
        working = accepted(container)
        began = time.monotonic()
        assert container.stop() == 0
        assert time.monotonic() - began < 30
        statuses = [answer.result().status_code for answer in asked]
        assert statuses.count(200) >= working > 0
        assert set(statuses) <= {200, 429}  # what could not be done in time was refused at once


def accepted(container: Running) -> int:
    """Requests that are not yet answered."""
    (depth,) = re.findall(r"^cartridge_queue_depth (.*)$", container.http.get("/metrics").text, re.MULTILINE)
    return int(float(depth))


def test_a_wrong_setting_stops_the_start_and_is_named(image: str) -> None:
    with pytest.raises(ContainerError, match="CARTRIDGE_DEVICE"):
        run(image, "serve", options=["--env=CARTRIDGE_DEVICE=abacus"])


def test_it_ends_with_its_worker(image: str) -> None:
    with running(image) as container:
        docker("exec", container.name, "python", "-c", KILL_GUNICORN)
        assert docker("wait", container.name).strip() == "1"
