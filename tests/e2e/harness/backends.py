"""The backends behind one face: `start`, where to send, and `trace(id)` through the backend's own query API."""

import os
import pathlib
import shutil

import requests

from . import model
from .ports import free_port
from .process import Process
from .tempo_double import TempoDouble
from .wait import until

START = pathlib.Path(__file__).parents[2] / "backends" / "start.sh"
TENANT = "agent-tasks"


class Jaeger:
    """The real Jaeger, storage in memory."""

    name = "jaeger"

    def __init__(self, folder):
        self.otlp_grpc, self.otlp_http, self._query, self._health = (free_port() for _ in range(4))
        self._process = Process("jaeger", [START, "jaeger"], folder / "jaeger.log", {
            "JAEGER_OTLP_GRPC_PORT": str(self.otlp_grpc), "JAEGER_OTLP_HTTP_PORT": str(self.otlp_http),
            "JAEGER_QUERY_PORT": str(self._query), "JAEGER_QUERY_GRPC_PORT": str(free_port()), "JAEGER_HEALTH_PORT": str(self._health),
        })

    def wait_ready(self):
        def ready():
            self._process.check_alive()
            return requests.get(f"http://127.0.0.1:{self._health}/status", timeout=5).ok

        until(ready, "Jaeger is ready", timeout=60)

    def trace(self, trace_id):
        """{span id: span}; empty when Jaeger has no such trace."""
        answer = requests.get(f"http://127.0.0.1:{self._query}/api/v3/traces/{trace_id}", timeout=10)
        if answer.status_code == 404:
            return {}
        answer.raise_for_status()
        spans = model.from_otlp_json(answer.json()["result"]["resourceSpans"]).get(trace_id, {})
        for span in spans.values():
            # Jaeger shows a span's events in an order of its own; they were sent in the order of time.
            span["events"].sort(key=lambda event: event[1])
        return spans

    def stop(self):
        self._process.kill()


class Zipkin:
    """The real Zipkin, storage in memory: what it had is gone when it stops. It can be started again on its port."""

    name = "zipkin"

    def __init__(self, folder):
        self._folder = folder
        self.port = free_port()
        self.start()

    def start(self):
        self._process = Process("zipkin", [START, "zipkin"], self._folder / "zipkin.log", {"ZIPKIN_PORT": str(self.port)})

    def wait_ready(self):
        def ready():
            self._process.check_alive()
            return requests.get(f"http://127.0.0.1:{self.port}/health", timeout=5).ok

        until(ready, "Zipkin is ready", timeout=120, every=0.1)

    def trace(self, trace_id):
        """Zipkin's own v2 spans as {span id: span}; empty when it has no such trace."""
        answer = requests.get(f"http://127.0.0.1:{self.port}/api/v2/trace/{trace_id}", timeout=10)
        if answer.status_code == 404:
            return {}
        answer.raise_for_status()
        spans = {span["id"]: span for span in answer.json()}
        assert len(spans) == len(answer.json()), "a span id is there twice"
        return spans

    def stop(self):
        self._process.kill()


class _TempoQuery:
    name = "tempo"
    tenant = TENANT

    def trace(self, trace_id, tenant=TENANT):
        """{span id: span}; empty when Tempo has no such trace (for this tenant)."""
        answer = requests.get(f"http://127.0.0.1:{self.http}/api/v2/traces/{trace_id}", timeout=10,
                              headers={"X-Scope-OrgID": tenant} if tenant else {})
        answer.raise_for_status()
        return model.from_otlp_json(answer.json().get("trace", {}).get("resourceSpans", [])).get(trace_id, {})


class RealTempo(_TempoQuery):
    """A Tempo that is on PATH or in TEMPO_BIN."""

    is_double = False

    def __init__(self, folder):
        self.http, self.otlp_grpc, self.otlp_http = (free_port() for _ in range(3))
        self._process = Process("tempo", [START, "tempo"], folder / "tempo.log", {
            "TEMPO_HTTP_PORT": str(self.http), "TEMPO_GRPC_PORT": str(free_port()), "TEMPO_DIR": str(folder / "tempo"),
            "TEMPO_OTLP_GRPC_PORT": str(self.otlp_grpc), "TEMPO_OTLP_HTTP_PORT": str(self.otlp_http),
        })

    def wait_ready(self):
        def ready():
            self._process.check_alive()
            return requests.get(f"http://127.0.0.1:{self.http}/ready", timeout=5).ok

        until(ready, "Tempo is ready", timeout=120, every=0.1)

    def stop(self):
        self._process.kill()


class DoubledTempo(_TempoQuery):
    """The contract double, in this process."""

    is_double = True

    def __init__(self, _folder):
        self._double = TempoDouble()
        self.http = self.otlp_http = self._double.http_port
        self.otlp_grpc = self._double.grpc_port

    def wait_ready(self):
        assert requests.get(f"http://127.0.0.1:{self.http}/ready", timeout=5).ok

    def stop(self):
        self._double.close()


def tempo_binary():
    """The real Tempo to use, or None."""
    named = os.environ.get("TEMPO_BIN")
    if named and not os.access(named, os.X_OK):
        raise RuntimeError(f"TEMPO_BIN={named} is not an executable file")
    return named or shutil.which("tempo")


def tempo(folder):
    return RealTempo(folder) if tempo_binary() else DoubledTempo(folder)
