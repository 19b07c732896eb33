"""What the client, and its connection, see of a mistake of ours."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from fastapi import FastAPI

from app.api import problems
from app.api.app import RequestIds


@pytest.fixture
def port() -> Iterator[int]:
    app = FastAPI()

    @app.get("/mistake")
    def mistake() -> None:
        raise ZeroDivisionError("of nobody's concern")

    problems.install(app)
    app.add_middleware(RequestIds)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    listening = server.config.bind_socket()
    listening.listen()
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join()


def test_unforeseen_error_is_told_in_the_one_shape_and_its_connection_goes_on(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for _ in range(3):
        connection.request("GET", "/mistake")
        response = connection.getresponse()
        error = json.load(response)["error"]
        assert (response.status, error["code"]) == (500, "internal")
        assert error["request_id"] == response.headers["X-Request-Id"]
        assert "nobody" not in error["message"]
        assert not response.will_close and connection.sock is not None
        connection.auto_open = 0  # from here on, a closed connection is an error
    connection.close()
