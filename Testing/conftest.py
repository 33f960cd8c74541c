"""How hypothesis draws its examples: the same in every run, or, to explore, new ones in many rounds. And signals."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from hypothesis import is_hypothesis_test, settings

# How often each test of drawn examples runs while exploring, whatever number of examples it draws at a time.
ROUNDS = 10

# No test depends on how fast the machine is: no deadlines.
settings.register_profile("test", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None, print_blob=True)
settings.load_profile("test")


# Whoever starts the tests in the background may ignore signals, and what they start would, too: some tests send them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def exploration_round() -> None:
    """Which round this is makes no difference to a test."""


def pytest_generate_tests(metafunc: Any) -> None:
    exploring = metafunc.config.getoption("--hypothesis-profile") == "explore"
    if exploring and is_hypothesis_test(metafunc.function):
        metafunc.fixturenames.append("exploration_round")
        metafunc.parametrize("exploration_round", range(ROUNDS), ids=lambda n: f"round {n + 1}")


@pytest.fixture
def exploring(request: pytest.FixtureRequest) -> None:
    """For what takes too long for every run; marked with `hypothesis`, `explore` takes it."""
    if request.config.getoption("--hypothesis-profile") != "explore":
        pytest.skip("takes long; python3 Testing/run.py explore runs it")
