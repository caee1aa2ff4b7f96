from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A machine under load must not fail a test, and a failure must come back on the next run.
settings.register_profile("spikeram", deadline=None, derandomize=True)
settings.load_profile("spikeram")


@pytest.fixture(scope="session")
def measured_data() -> Path:
    """The folder of measured data sets, which the project does not need to work."""
    folder = os.environ.get("SPIKERAM_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SPIKERAM_DATA does not name a folder of data sets")
    return Path(folder)
