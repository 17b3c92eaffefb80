"""One server for all campaigns of a session."""

from __future__ import annotations

import pytest

from campaigns.commands import Commands


@pytest.fixture(scope="session")
def commands(tmp_path_factory):
    made = Commands(tmp_path_factory.mktemp("server"))
    yield made
    made.close()
