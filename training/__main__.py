"""`python -m training ROM`: make a ROM by its recipe and write it to the model store. Runs again where it stopped."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from training.fine_tuning import MissingBaseError
from training.recipes import RECIPES


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("rom", choices=sorted(RECIPES))
    parser.add_argument("--work", type=Path, default=Path("build/training"), help="checkpoints and curves")
    parser.add_argument("--store", type=Path, default=Path("model_store"), help="where the ROM goes")
    parser.add_argument("--smoke", action="store_true", help="the same stages with next to no work, under a minute")
    arguments = parser.parse_args()
    recipe = RECIPES[arguments.rom]
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    try:
        (recipe.smoke() if arguments.smoke else recipe).make(arguments.work / arguments.rom, arguments.store)
    except MissingBaseError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
