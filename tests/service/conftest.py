"""One service for most tests, and a way to start others where a life cycle is the subject."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.roms import write_manifest
from tests.support.serving import FAKE_STORE, Serving, serving

Start = Callable[..., Serving]
Note = Callable[[str], None]
RomFiles = dict[str, dict[str, tuple[int, str]]]  # source -> path -> time of the last change, digest
_NOTES = pytest.StashKey[list[str]]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(_NOTES, []):
        terminalreporter.write_line(line)


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Writes a measurement, which no test judges, below the results."""
    notes = request.config.stash.setdefault(_NOTES, [])
    return lambda text: notes.append(f"{request.node.name}: {text}")


@pytest.fixture(scope="session")
def endless_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a fake ROM, `endless`, that takes requests long enough to be looked at while they run.

    A request is worth accepting for one of its thousand steps, however slow the machine seems to be.
    """
    store = tmp_path_factory.mktemp("endless")
    write_manifest(
        store / "endless",
        presets={"default": {"num_inference_steps": 1000, "guidance_scale": 1.0, "partial_share": 0.001}},
        limits={"max_steps": 1000, "max_batch": 64},
    )
    return f"file://{store}"


@pytest.fixture(scope="session")
def roms_before(endless_store: str, tiny_rom: Path) -> RomFiles:
    """The sources of `service` before it starts."""
    sources = (FAKE_STORE, endless_store, f"file://{tiny_rom}")
    return {source: files_of(source) for source in sources}


@pytest.fixture(scope="session")
def service(roms_before: RomFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The service of most tests, ready, with the ROMs `fake`, `endless` and `tiny`. Leave it as you found it."""
    sources = ",".join(roms_before)
    directory = tmp_path_factory.mktemp("service")
    with serving(directory, CARTRIDGE_ROM_SOURCES=sources, CARTRIDGE_READY="all") as started:
        yield started.until_ready()


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The service as `./serve` starts it without any setting, ready, with the embedded ROM."""
    with serving(tmp_path_factory.mktemp("shapes"), CARTRIDGE_ROM_SOURCES="") as started:
        yield started.until_ready()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a service with the given environment; it is stopped after the test."""
    with ExitStack() as stack:
        yield lambda **environment: stack.enter_context(serving(tmp_path / "service", **environment))


def files_of(source: str) -> dict[str, tuple[int, str]]:
    """Everything below a file:// address, with the time of its last change and its digest."""
    root = Path(source.removeprefix("file://"))
    return {
        str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
        for path in (root, *root.rglob("*"))
    }
