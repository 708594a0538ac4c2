"""What the agent says about itself: health, readiness, metrics, status."""

import statistics
import threading
import time

import pytest
import requests

from harness import checks, raw
from harness.wait import until

# A backend that is not there.
NOBODY = {"otlp_grpc/nobody": {"endpoint": "127.0.0.1:1", "tls": {"insecure": True}}}
PATHS = ["/health", "/ready", "/metrics", "/status"]


@pytest.fixture(scope="module")
def agent(sink, start_module_agent):
    return start_module_agent(sink.exporters)


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_alive_and_ready(agent, path):
    assert requests.get(agent.admin + path, timeout=5).status_code == 200


def test_the_health_check_extension(agent):
    assert requests.get(f"http://127.0.0.1:{agent.health_check_port}/", timeout=5).status_code == 200


def test_metrics_keep_the_collectors_names(agent, emitter):
    sdk = emitter(agent, "grpc")
    sent = [sdk.task(priority="critical"), sdk.task(priority="low")]
    sdk.flush()
    spans = {one.kept: len(one.spans) for one in sent}
    checks.exported(agent, "otlp_grpc/sink", spans[True])
    checks.decided(agent, 2)
    assert agent.metric("otelcol_receiver_accepted_spans", receiver="otlp", transport="grpc") == sum(spans.values())
    assert agent.metric("otelcol_exporter_queue_capacity", exporter="otlp_grpc/sink") > 0
    assert agent.metric("otelcol_processor_tail_sampling_count_traces_sampled", policy="important-tasks", sampled="true") == 1


def test_metrics_are_openmetrics_on_request(agent):
    answer = requests.get(f"{agent.admin}/metrics", timeout=5)
    assert answer.headers["Content-Type"].startswith("text/plain")
    answer = requests.get(f"{agent.admin}/metrics", timeout=5, headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_status_names_every_component(agent):
    status = requests.get(f"{agent.admin}/status", timeout=5).json()
    (pipeline,) = status["pipelines"]
    ids = {stage: [component["id"] for component in pipeline[stage]] for stage in ("receivers", "processors", "exporters")}
    assert ids == {"receivers": ["otlp"], "processors": ["tail_sampling", "batch"], "exporters": ["otlp_grpc/sink"]}
    assert pipeline["id"] == "traces" and status["version"] and status["uptime_s"] >= 0
    assert pipeline["exporters"][0]["queue"], "the queue's depth is shown"


def test_a_failing_exporter_is_said_in_the_status(start_agent, sink):
    agent = start_agent({**sink.exporters, **NOBODY}, shutdown_timeout="1s")
    client = raw.GrpcClient(agent.grpc)
    client.export(raw.kept_request()[1])
    client.close()
    until(lambda: "onnect" in requests.get(f"{agent.admin}/status", timeout=5).text, "the status has the exporter's last error")


def test_answers_come_quickly_under_load(agent):
    """Under 10 ms each. The lower quartile: three processes share this machine's cores, and their waits are not the agent's."""
    trace_ids = [raw.new_trace_id() for _ in range(100)]
    body = raw.request(*(raw.span(trace_id, attributes={"task.priority": "low"}) for trace_id in trace_ids for _ in range(20))).SerializeToString()
    stop = threading.Event()

    def load():
        with requests.Session() as session:
            while not stop.wait(0.02):  # its pace: two cores serve it, the agent and these requests
                session.post(f"{agent.http}/v1/traces", data=body, headers=raw.PROTOBUF, timeout=30)

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    try:
        with requests.Session() as session:
            for path in PATHS:
                took = []
                for _ in range(40):
                    started = time.perf_counter()
                    assert session.get(agent.admin + path, timeout=5).status_code == 200
                    took.append(time.perf_counter() - started)
                typical = statistics.quantiles(took, n=4)[0]
                assert typical < 0.010, f"{path}: {typical * 1000:.1f} ms"
    finally:
        stop.set()
        thread.join()


def test_alive_but_not_ready_while_draining(start_agent):
    """The exporter cannot deliver, so the stop takes its time."""
    agent = start_agent(NOBODY, shutdown_timeout="3s")
    client = raw.GrpcClient(agent.grpc)
    client.export(raw.kept_request()[1])
    client.close()
    until(lambda: agent.metric("otelcol_exporter_queue_size", exporter="otlp_grpc/nobody") is not None, "the queue is there")
    agent.begin_stop()
    until(lambda: requests.get(f"{agent.admin}/ready", timeout=5).status_code == 503, "the agent is not ready any more")
    assert requests.get(f"{agent.admin}/health", timeout=5).status_code == 200
