"""The page's own server."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

# Before Gradio is imported, which reads them then.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import gradio as gr

from app.client import Client
from app.ui.page import build_page
from app.ui.policy import OwnHostOnly

_STYLE = Path(__file__).with_name("page.css")
_FONT, _MONOSPACED = ("system-ui", "sans-serif"), ("ui-monospace", "monospace")  # what the machine has


def serve_page(url: str, host: str, port: int, say: Callable[[str], None]) -> None:
    """Until Ctrl-C. Raises OSError where the port is taken."""
    with ExitStack() as stack:
        if "GRADIO_TEMP_DIR" not in os.environ:  # where images are kept while somebody may look at them
            os.environ["GRADIO_TEMP_DIR"] = stack.enter_context(tempfile.TemporaryDirectory(prefix="cartridge-ui-"))
        page = build_page(stack.enter_context(Client(url)), url)
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            theme=gr.themes.Default(primary_hue="blue", spacing_size="sm", font=_FONT, font_mono=_MONOSPACED),
            css_paths=_STYLE,
            footer_links=[],
            share=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            run_history=False,
            enable_monitoring=False,
            quiet=True,
            prevent_thread_lock=True,
            app_kwargs={"middleware": [(OwnHostOnly, (), {})]},
        )
        say(f"the page of {url} is on {address} until Ctrl-C")
        page.block_thread()
