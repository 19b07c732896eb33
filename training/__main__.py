"""`python -m training ROM`: make a ROM by its recipe and write it to the model store. Runs again where it stopped.

`python -m training own` teaches a user's images to a ROM; it has a help of its own.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from app.backends.devices import prepare_cpu
from training.base import MissingBaseError
from training.own.command import main as own
from training.recipes import RECIPES, Recipe

_OWN = "own"


def main() -> None:
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    prepare_cpu(threads=0)
    if sys.argv[1:2] == [_OWN]:
        own(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("rom", choices=sorted(RECIPES))
    parser.add_argument("--work", type=Path, help="checkpoints and curves (default: build/training)")
    parser.add_argument("--store", type=Path, help="where the ROM goes (default: model_store)")
    smoke = "the same stages with next to no work, under a minute; all below build/smoke unless told otherwise"
    parser.add_argument("--smoke", action="store_true", help=smoke)
    arguments = parser.parse_args()
    recipe: Recipe = RECIPES[arguments.rom]
    build, store = Path("build"), Path("model_store")
    if arguments.smoke:  # never over a trained ROM, nor on from its checkpoints
        recipe, build, store = recipe.smoke(), build / "smoke", build / "smoke" / store
    try:
        recipe.make((arguments.work or build / "training") / arguments.rom, arguments.store or store)
    except MissingBaseError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
