"""Fixtures: the backends once per run, an agent per test (or module), emitters that say what they sent."""

import contextlib

import pytest

from harness import agent as agent_module
from harness import backends
from harness.agent import Agent
from harness.emit import Emitter
from harness.sink import Sink


def _tempo_in_use():
    real = backends.tempo_binary()
    return f"the real one ({real})" if real else "the contract double (no 'tempo' on PATH and no TEMPO_BIN: the real Tempo was NOT used)"


def pytest_report_header():
    return [f"agent: {agent_module.binary()}", f"Tempo: {_tempo_in_use()}"]


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"Jaeger and Zipkin: the real ones. Tempo: {_tempo_in_use()}.")


@pytest.fixture(scope="session")
def _backends(tmp_path_factory):
    """All three started together: their start-up times overlap."""
    folder = tmp_path_factory.mktemp("backends")
    with contextlib.ExitStack() as stack:
        started = {}
        for make in (backends.Zipkin, backends.Jaeger, backends.tempo):
            backend = make(folder)
            stack.callback(backend.stop)
            started[backend.name] = backend
        for backend in started.values():
            backend.wait_ready()
        yield started


@pytest.fixture(scope="session")
def jaeger(_backends):
    return _backends["jaeger"]


@pytest.fixture(scope="session")
def zipkin(_backends):
    return _backends["zipkin"]


@pytest.fixture(scope="session")
def tempo(_backends):
    return _backends["tempo"]


@pytest.fixture(scope="session")
def three_exporters(jaeger, zipkin, tempo):
    """The fan-out that the product exists for, as a user writes it."""
    retry = {"enabled": True, "initial_interval": "100ms", "max_interval": "500ms", "max_elapsed_time": "300s"}
    return {
        "otlp_grpc/jaeger": {"endpoint": f"127.0.0.1:{jaeger.otlp_grpc}", "tls": {"insecure": True}, "retry_on_failure": retry},
        "otlp_http/tempo": {
            "endpoint": f"http://127.0.0.1:{tempo.otlp_http}", "headers": {"X-Scope-OrgID": tempo.tenant}, "retry_on_failure": retry,
        },
        "zipkin": {"endpoint": f"http://127.0.0.1:{zipkin.port}/api/v2/spans", "retry_on_failure": retry},
    }


@contextlib.contextmanager
def _running(folder, exporters, **settings):
    agent = Agent(folder, exporters, **settings)
    try:
        yield agent.start()
        agent.stop()
    finally:
        agent.kill()


@pytest.fixture
def start_agent(tmp_path):
    """Starts agents for one test: start_agent(exporters, **settings of Agent); each must stop cleanly at its end."""
    with contextlib.ExitStack() as stack:
        count = iter(range(100))
        yield lambda exporters, **settings: stack.enter_context(_running(tmp_path / f"agent-{next(count)}", exporters, **settings))


@pytest.fixture(scope="module")
def start_module_agent(tmp_path_factory):
    """The same for all tests of a module."""
    with contextlib.ExitStack() as stack:
        yield lambda exporters, **settings: stack.enter_context(_running(tmp_path_factory.mktemp("agent"), exporters, **settings))


@pytest.fixture(scope="module")
def sink():
    """A receiving end in this process, for tests that ask what left the agent and need no backend for it."""
    one = Sink()
    yield one
    one.close()


@pytest.fixture(params=["grpc", "http"])
def protocol(request):
    return request.param


@pytest.fixture
def emitter():
    """Makes emitters from the real SDK: emitter(agent, protocol)."""
    with contextlib.ExitStack() as stack:
        def make(agent, protocol):
            one = Emitter(protocol, agent.grpc if protocol == "grpc" else agent.http)
            stack.callback(one.close)
            return one

        yield make
