#!/usr/bin/env python3
"""A small container that keeps every rule of SageMaker, but those that FAULTS names. It knows nothing of Cartridge."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = set(filter(None, os.environ.get("FAULTS", "").split(",")))
CAPACITY = int(os.environ.get("CAPACITY", "0"))  # models that it can hold; 0: it is no multi-model container
LATE_S = 0.45
LARGE_BYTES = 20_000
KNOWN = {"host", "content-length", "content-type", "accept", "accept-encoding", "connection", "user-agent"}
PAGE = "<html>\n<body>\n<h1>Internal Server Error</h1>\n</body>\n</html>"

models: dict[str, str] = {}
served = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path == "/ping":
            self._ping()
        elif self.path == "/metrics":
            self._answer(200, PAGE if "metrics-page" in FAULTS else "# TYPE up gauge\nup 1\n", "text/plain")
        elif self.path == "/execution-parameters" and "parameters-empty" in FAULTS:
            self._json(200, {})
        elif self.path == "/models" and CAPACITY:
            self._json(200, [] if "models-shapeless" in FAULTS else {"models": [described(name) for name in models]})
        elif self.path.startswith("/models/") and CAPACITY:
            self._model(lambda name: described(name))
        else:
            self._json(404, {"message": "no such route"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/ping":
            self._json(405, {"message": "GET only"}) if "ping-get-only" in FAULTS else self._ping()
        elif self.path == "/invocations" and "no-invocations" not in FAULTS:
            self._invoke(body)
        elif self.path == "/models" and CAPACITY:
            self._load(json.loads(body))
        elif self.path.startswith("/models/") and CAPACITY:
            self._invoke(body) if self.path.split("/")[2] in models else self._json(404, {"message": "not loaded"})
        else:
            self._json(404, {"message": "no such route"})

    def do_DELETE(self) -> None:
        self._model(lambda name: name if "models-immortal" in FAULTS else models.pop(name))

    def _ping(self) -> None:
        if "ping-late" in FAULTS:
            time.sleep(LATE_S)
        if "ping-redirects" in FAULTS:
            self.send_response(302)
            self.send_header("Location", "/metrics")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._answer(200, "", "text/plain")

    def _invoke(self, body: bytes) -> None:
        global served  # noqa: PLW0603 - a counter of this process
        served += 1
        if "ready-early" in FAULTS and served == 1:
            self._json(503, {"message": "loading"})
        elif (refusal := self._refusal(body)) is not None:
            self._json(*refusal)
        else:
            try:
                asked = json.loads(body)
            except ValueError:
                self._undecodable()
            else:
                self._infer(asked)

    def _refusal(self, body: bytes) -> tuple[int, dict[str, str]] | None:
        named = {name.lower() for name in self.headers}
        if "small-bodies" in FAULTS and len(body) > 5_000_000:
            return 413, {"message": "too large"}
        if "strict-headers" in FAULTS and {name for name in named - KNOWN if "custom" not in name and "id" not in name}:
            return 400, {"message": "unknown header"}
        if "strict-attributes" in FAULTS and self.headers.get("X-Amzn-SageMaker-Custom-Attributes"):
            return 400, {"message": "bad attributes"}
        if "strict-ids" in FAULTS and " " in self.headers.get("X-Amzn-SageMaker-Inference-Id", ""):
            return 400, {"message": "bad id"}
        return None

    def _undecodable(self) -> None:
        if "error-page" in FAULTS:
            self._answer(500, PAGE, "text/html")
        else:
            self._json(400, {"message": "the body is not JSON"})

    def _infer(self, asked: dict[str, Any]) -> None:
        if "invocations-late" in FAULTS:
            time.sleep(LATE_S)
        if "sleep_s" in asked:
            time.sleep(asked["sleep_s"])
        if "exit" in asked:
            os._exit(asked["exit"])
        if "status" in asked:
            self._answer(asked["status"], asked.get("text", ""), "text/plain")
        elif asked.get("stream") and "unstreamed" not in FAULTS:
            self._pieces(asked)
        elif "bytes" in asked or "invocations-large" in FAULTS:
            self._answer(200, "x" * asked.get("bytes", LARGE_BYTES), "text/plain")
        elif "chunked" in asked or "unmeasured" in FAULTS:
            self._pieces({"pieces": ["{}"]})
        else:
            self._json(200, {"path": self.path, "headers": {name.lower(): self.headers[name] for name in self.headers}})

    def _pieces(self, asked: dict[str, Any]) -> None:
        """`pieces`, then `pause_s` of nothing; with `breaks` the connection closes in the middle."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in asked.get("pieces", ["a piece"]):
            self.wfile.write(f"{len(piece):x}\r\n{piece}\r\n".encode())
            self.wfile.flush()
        time.sleep(asked.get("pause_s", 0))
        if asked.get("breaks"):
            self.close_connection = True
        else:
            with suppress(BrokenPipeError):
                self.wfile.write(b"0\r\n\r\n")

    def _load(self, asked: dict[str, str]) -> None:
        name = asked["model_name"]
        if "models-slow" in FAULTS:
            time.sleep(LATE_S)
        if name in models and "models-reloaded" not in FAULTS:
            self._json(409, {"message": "loaded already"})
        elif len(models) >= CAPACITY and name not in models:
            self._json(507, {"message": "no room"})
        else:
            if "models-forgotten" not in FAULTS:
                models[name] = asked["url"]
            self._json(200, {"modelName": name, "modelUrl": asked["url"]})

    def _model(self, answer: Any) -> None:
        name = self.path.split("/")[2]
        unknown = 500 if "models-unknown" in FAULTS else 404
        self._json(200, answer(name)) if name in models else self._json(unknown, {"message": "not loaded"})

    def _json(self, status: int, content: Any) -> None:
        self._answer(status, json.dumps(content), "application/json")

    def _answer(self, status: int, text: str, content_type: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        if attributes := self.headers.get("X-Amzn-SageMaker-Custom-Attributes"):
            self.send_header("X-Amzn-SageMaker-Custom-Attributes", attributes)
        self.send_header("X-Own", "never seen by a caller")
        self.end_headers()
        with suppress(BrokenPipeError):  # whoever asked has gone
            self.wfile.write(data)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""


def described(name: str) -> dict[str, str]:
    return {"modelName": name, "modelUrl": models[name]}


def main() -> int:
    if sys.argv[1:] != ["serve"] or "dies" in FAULTS or {"isolated", "needs-network"} <= FAULTS:
        return 3
    host = os.environ.get("HOST", "127.0.0.1")
    port = int(os.environ.get("FIXED_PORT") or os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.sigwait({signal.SIGTERM})
    while "ignores-sigterm" in FAULTS:
        signal.sigwait({signal.SIGTERM})
    return 1 if "crashes" in FAULTS else 0


if __name__ == "__main__":
    sys.exit(main())
