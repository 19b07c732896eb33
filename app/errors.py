"""What can go wrong. `app.api.problems` turns each into its HTTP answer.

CartridgeError
├── InvalidRequest          422  a field is wrong; `param` names it
│   ├── UndecodableRequest  400  the body is not JSON
│   └── RequestTooLarge     413  body, image or pixels above a limit, found before decoding
├── UnknownRom              404  no ROM has that id; near ids are named
├── Overloaded              429  the queue is full, or the deadline cannot be met; `fits` says what could be
├── RequestConflict         409  another request with this id is known
├── UnknownRequest          404  no request with this id is running
├── UnknownModel            404  the platform has not loaded a model of this name
├── ModelConflict           409  it has loaded one of this name already
├── Cancelled               499  the client left, or asked for an end
├── NotReady                503  starting, loading or draining
├── RomUnavailable          503  this ROM is broken and quarantined; the service lives
├── StoreUnavailable        503  where a ROM is kept cannot be reached, or refuses us
├── DeadlineExceeded        504  the deadline passed with nothing to show
├── OutOfRomMemory          507  the ROM, or one image of it, does not fit in memory
├── DiskUnavailable         507  the cache directory is full, or cannot be written
├── BackendError            500  a forward or a decode failed
├── ManifestError                a ROM's files are not what they should be (becomes RomUnavailable when served)
└── SettingsError                a setting is wrong: the service does not start
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fitting:
    """The largest parameters that could be accepted now."""

    num_inference_steps: int
    width: int | None = None  # pixels; None: as asked
    height: int | None = None  # pixels; None: as asked

    def __str__(self) -> str:
        size = f" at {self.width}x{self.height}" if self.width else ""
        return f"num_inference_steps up to {self.num_inference_steps}{size}"


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
    """Without `retry_after_s` waiting would not help."""

    code = "overloaded"
    http_status = 429
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: float | None = None,
        fits: Fitting | None = None,
    ) -> None:
        super().__init__(message, param=param, retry_after_s=retry_after_s)
        self.retryable = retry_after_s is not None
        self.fits = fits


class RequestConflict(CartridgeError):
    code = "request_conflict"
    http_status = 409


class UnknownRequest(CartridgeError):
    code = "unknown_request"
    http_status = 404


class UnknownModel(CartridgeError):
    code = "unknown_model"
    http_status = 404


class ModelConflict(CartridgeError):
    code = "model_conflict"
    http_status = 409


class Cancelled(CartridgeError):
    code = "cancelled"
    http_status = 499


class NotReady(CartridgeError):
    code = "not_ready"
    http_status = 503
    retryable = True


class RomUnavailable(CartridgeError):
    code = "rom_unavailable"
    http_status = 503


class StoreUnavailable(CartridgeError):
    code = "store_unavailable"
    http_status = 503
    retryable = True


class DeadlineExceeded(CartridgeError):
    code = "deadline_exceeded"
    http_status = 504


class OutOfRomMemory(CartridgeError):
    code = "out_of_rom_memory"
    http_status = 507


class DiskUnavailable(CartridgeError):
    code = "disk_unavailable"
    http_status = 507


class BackendError(CartridgeError):
    code = "backend_error"
    http_status = 500


class ManifestError(CartridgeError):
    code = "manifest_error"


class SettingsError(CartridgeError):
    code = "settings_error"
