"""The agent under test: its configuration, its process, what it says about itself."""

import os
import pathlib
import re
import shutil

import requests
import yaml

from .ports import free_port
from .process import Process
from .wait import until

ROOT = pathlib.Path(__file__).parents[3]

POLICIES = [
    {"name": "important-tasks", "type": "string_attribute", "string_attribute": {"key": "task.priority", "values": ["critical", "high"]}},
    {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
    {"name": "slow-tasks", "type": "latency", "latency": {"threshold_ms": 60000}},
    {"name": "share-of-the-rest", "type": "probabilistic", "probabilistic": {"sampling_percentage": 0}},
]

_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def binary():
    """FOREBAY_BIN, or what `cargo build` made."""
    named = os.environ.get("FOREBAY_BIN")
    path = pathlib.Path(named) if named else ROOT / "target" / "debug" / "forebay"
    if not os.access(path, os.X_OK):
        raise RuntimeError(f"{path} is not there: run 'cargo build -p forebay', or set FOREBAY_BIN")
    return path


class Agent:
    """One process of the agent with OTLP in, `exporters` (a dict as in the YAML) out, everything on free ports."""

    def __init__(self, folder, exporters, *, decision_wait="1s", policies=None, cors=None, shutdown_timeout=None, sampler=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.grpc_port, self.http_port, self.admin_port, self.health_check_port = (free_port() for _ in range(4))
        grpc = {"endpoint": f"127.0.0.1:{self.grpc_port}"}
        http = {"endpoint": f"127.0.0.1:{self.http_port}"}
        if cors:
            http["cors"] = cors
        self.config = {
            "receivers": {"otlp": {"protocols": {"grpc": grpc, "http": http}}},
            "processors": {
                "tail_sampling": {"decision_wait": decision_wait, "num_traces": 50000, "policies": policies or POLICIES, **(sampler or {})},
                "batch": {"send_batch_size": 512, "timeout": "100ms"},
            },
            "exporters": exporters,
            "extensions": {"health_check": {"endpoint": f"127.0.0.1:{self.health_check_port}"}},
            "service": {
                "extensions": ["health_check"],
                "pipelines": {"traces": {"receivers": ["otlp"], "processors": ["tail_sampling", "batch"], "exporters": list(exporters)}},
                "telemetry": {
                    "logs": {"level": "info"},
                    "metrics": {"level": "detailed", "readers": [
                        {"pull": {"exporter": {"prometheus": {"host": "127.0.0.1", "port": self.admin_port}}}}]},
                },
            },
        }
        if shutdown_timeout:
            self.config["service"]["shutdown_timeout"] = shutdown_timeout
        self._config_file = folder / "agent.yaml"
        self._config_file.write_text(yaml.safe_dump(self.config, sort_keys=False))
        self._log = folder / "agent.log"
        self._process = None

    @property
    def grpc(self):
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def http(self):
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def admin(self):
        return f"http://127.0.0.1:{self.admin_port}"

    @property
    def pid(self):
        return self._process.pid

    @property
    def log(self):
        return self._process.output()

    def start(self):
        self._process = Process("forebay", [binary(), "--config", self._config_file], self._log)
        until(self._is_ready, "the agent is ready", timeout=20)
        return self

    def _is_ready(self):
        self._process.check_alive()
        return requests.get(f"{self.admin}/ready", timeout=5).status_code == 200

    def check_alive(self):
        self._process.check_alive()

    def stop(self, timeout=30):
        """SIGTERM; fails when the agent does not end cleanly."""
        if self._process is None:
            return
        code = self._process.terminate(timeout)
        assert code == 0, f"the agent ended with {code}:\n{self.log[-4000:]}"
        assert "panicked" not in self.log, self.log[-4000:]

    def begin_stop(self):
        """SIGTERM, without waiting for the end."""
        self._process.begin_stop()

    def kill(self):
        if self._process is not None:
            self._process.kill()

    def metric(self, name, **labels):
        """The sum of a metric's samples that carry these labels; None when there is no such sample."""
        found = None
        for line in requests.get(f"{self.admin}/metrics", timeout=5).text.splitlines():
            sample = _SAMPLE.match(line)
            # The collector with an explicit reader adds the type's suffix; its documented names have none.
            if not sample or sample[1].removesuffix("_total") != name:
                continue
            has = dict(_LABEL.findall(sample[2] or ""))
            if labels.items() <= has.items():
                found = (found or 0) + float(sample[3])
        return found

    def peak_memory(self):
        """The most memory the process ever held resident, in bytes."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024

    def reset_peak_memory(self):
        """Makes `peak_memory` count from now (Linux: 5 to clear_refs)."""
        pathlib.Path(f"/proc/{self.pid}/clear_refs").write_text("5")


def chromium():
    """The browser for the page's test."""
    named = os.environ.get("CHROMIUM_BIN")
    return named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
