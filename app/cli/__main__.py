"""`python -m app.cli`: the command where no `cartridge` is installed, as in the image."""

from app.cli.main import app

app(prog_name="cartridge")
