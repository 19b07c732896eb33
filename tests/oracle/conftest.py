"""The tiny ROMs, each on both sides."""

from __future__ import annotations

import pytest

from tests.support.pairs import Pairs
from tests.support.tiny_roms import TinyRoms


@pytest.fixture(scope="session")
def pairs(tiny_roms: TinyRoms) -> Pairs:
    return Pairs(tiny_roms)
