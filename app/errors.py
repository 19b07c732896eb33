"""What can go wrong. `app.api.problems` turns each into its HTTP answer.

CartridgeError
├── InvalidRequest          422  a field is wrong; `param` names it
│   ├── UndecodableRequest  400  the body is not JSON
│   └── RequestTooLarge     413  body, image or pixels above a limit, found before decoding
├── UnknownRom              404  no ROM has that id; near ids are named
├── Overloaded              429  the queue is full, or the deadline cannot be met
├── NotReady                503  starting, loading or draining
├── RomUnavailable          503  this ROM is broken and quarantined; the service lives
├── DeadlineExceeded        504  the deadline passed with nothing to show
├── OutOfRomMemory          507  the ROM does not fit in the memory budget
├── BackendError            500  a forward or a decode failed
├── ManifestError                a ROM's files are not what they should be (becomes RomUnavailable when served)
└── SettingsError                a setting is wrong: the service does not start
"""

from __future__ import annotations


class CartridgeError(Exception):
    """Base of all errors that Cartridge raises on purpose. `message` is one line and reaches the client."""

    code = "internal"
    http_status = 500
    retryable = False

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = " ".join(message.split())
        self.param = param
        self.retry_after_s = retry_after_s


class InvalidRequest(CartridgeError):
    code = "invalid_request"
    http_status = 422


class UndecodableRequest(InvalidRequest):
    code = "undecodable_request"
    http_status = 400


class RequestTooLarge(InvalidRequest):
    code = "request_too_large"
    http_status = 413


class UnknownRom(CartridgeError):
    code = "unknown_rom"
    http_status = 404


class Overloaded(CartridgeError):
    code = "overloaded"
    http_status = 429
    retryable = True


class NotReady(CartridgeError):
    code = "not_ready"
    http_status = 503
    retryable = True


class RomUnavailable(CartridgeError):
    code = "rom_unavailable"
    http_status = 503


class DeadlineExceeded(CartridgeError):
    code = "deadline_exceeded"
    http_status = 504


class OutOfRomMemory(CartridgeError):
    code = "out_of_rom_memory"
    http_status = 507


class BackendError(CartridgeError):
    code = "backend_error"
    http_status = 500


class ManifestError(CartridgeError):
    code = "manifest_error"


class SettingsError(CartridgeError):
    code = "settings_error"
