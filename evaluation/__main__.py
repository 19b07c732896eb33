"""`python -m evaluation ROM`: see evaluation/command.py."""

from __future__ import annotations

import sys

from evaluation.command import main

main(sys.argv[1:])
