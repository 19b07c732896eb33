"""`cartridge ui`, as it is typed."""

from __future__ import annotations

import socket
import subprocess
import sys

from deploy.running import ROOT
from tests.service.test_command_line import cartridge

HELP = "from app.cli.main import app; app(['--help'], standalone_mode=False)"


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_where_gradio_is_missing_it_says_how_to_install_it() -> None:
    done = python("import sys; sys.modules['gradio'] = None\nfrom app.cli.main import app; app(['ui'])")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "cartridge ui needs Gradio: pip install 'gradio>=6,<7'\n"


def test_gradio_is_not_imported_for_other_commands() -> None:
    done = python(f"{HELP}; import sys; sys.exit('gradio' in sys.modules)")
    assert done.returncode == 0, done.stderr
    assert " ui " in done.stdout


def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = cartridge("ui", "--port", str(port))
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr
