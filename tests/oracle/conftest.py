"""The tiny ROMs, each on both sides."""

from __future__ import annotations

import pytest

from tests.support.pairs import Pairs


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    return Pairs(tmp_path_factory.mktemp("pairs"))
