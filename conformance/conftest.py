import pytest
from simulator import Recorder, Simulator


@pytest.fixture(scope="module")
def azure():
    """A fresh world for the tests of one file."""
    simulator = Simulator()
    yield simulator
    simulator.close()


@pytest.fixture
def fresh():
    """A fresh world for one test, and a way to change its seed."""
    started = []

    def start(changes=""):
        started.append(Simulator(changes))
        return started[-1]

    yield start
    for simulator in started:
        simulator.close()


@pytest.fixture
def recorder():
    return Recorder()
