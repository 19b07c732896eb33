"""`python -m evaluation.router --prompts FILE --catalog DIR`: see evaluation/router/command.py."""

from __future__ import annotations

import sys

from evaluation.router.command import main

main(sys.argv[1:])
