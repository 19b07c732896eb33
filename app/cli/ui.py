"""`cartridge ui`: the page, where Gradio is installed."""

from __future__ import annotations

import signal
import sys

from app.cli.common import leave

_NEEDED = "cartridge ui needs Gradio: pip install 'gradio>=6,<7'"


def open_page(url: str, host: str, port: int) -> None:
    """Until Ctrl-C or SIGTERM. Exits where Gradio is missing, or the port is taken."""
    try:
        from app.ui.serving import serve_page
    except ModuleNotFoundError as error:
        leave(_NEEDED if error.name == "gradio" else f"{_NEEDED} ({error.name} is missing)")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that what was kept for the page is removed
    try:
        serve_page(url, host, port, lambda text: print(text, flush=True))
    except OSError as error:
        leave(f"the page cannot be served on {host}:{port}: {error}")
