"""The main job: tasks from the real SDK come in, the important ones are found whole in Jaeger, Zipkin and Tempo, the others nowhere."""

import pytest

from harness import checks

TASKS = [
    dict(priority="critical"),
    dict(priority="high"),
    dict(priority="normal"),
    dict(priority="low"),
    dict(priority="critical", where="child"),
    dict(priority="high", where="child"),
    dict(priority="low", where="child"),
    dict(priority="low", failed=True),
    dict(priority="normal", seconds=90.0),
    dict(priority="normal", where="child"),
]


def test_each_kept_task_is_whole_everywhere_and_each_dropped_one_nowhere(
        start_agent, three_exporters, emitter, protocol, jaeger, zipkin, tempo):
    agent = start_agent(three_exporters)
    sdk = emitter(agent, protocol)
    sent = [sdk.task(**task) for task in TASKS]
    sdk.flush()

    kept = [one for one in sent if one.kept]
    dropped = [one for one in sent if not one.kept]
    assert len(kept) == 6 and len(dropped) == 4, "the test's own plan"

    for backend in (jaeger, tempo, zipkin):
        for one in kept:
            checks.arrives_whole(backend, one)

    # Nothing is under way any more: every trace is decided, and each exporter has sent the kept spans and no others.
    checks.decided(agent, len(sent))
    spans = sum(len(one.spans) for one in kept)
    for exporter in three_exporters:
        checks.exported(agent, exporter, spans)
    for backend in (jaeger, tempo, zipkin):
        for one in dropped:
            checks.is_absent(backend, one)

    assert agent.metric("otelcol_receiver_accepted_spans") == sum(len(one.spans) for one in sent)
    assert agent.metric("otelcol_processor_tail_sampling_global_count_traces_sampled", sampled="true") == len(kept)


def test_tempo_keeps_tenants_apart(start_agent, three_exporters, emitter, tempo):
    agent = start_agent({"otlp_http/tempo": three_exporters["otlp_http/tempo"]})
    sdk = emitter(agent, "grpc")
    one = sdk.task(priority="critical")
    sdk.flush()
    checks.arrives_whole(tempo, one)
    assert not tempo.trace(one.trace_id, tenant="somebody-else")


def test_tempo_over_grpc_takes_the_tenant_from_the_header(start_agent, emitter, tempo):
    agent = start_agent({"otlp_grpc/tempo": {
        "endpoint": f"127.0.0.1:{tempo.otlp_grpc}", "tls": {"insecure": True}, "headers": {"X-Scope-OrgID": tempo.tenant}}})
    sdk = emitter(agent, "http")
    one = sdk.task(priority="high")
    sdk.flush()
    checks.arrives_whole(tempo, one)


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_jaeger_over_http_takes_every_compression(start_agent, emitter, jaeger, compression):
    agent = start_agent({"otlp_http/jaeger": {"endpoint": f"http://127.0.0.1:{jaeger.otlp_http}", "compression": compression}})
    sdk = emitter(agent, "http")
    one = sdk.task(priority="critical")
    sdk.flush()
    checks.arrives_whole(jaeger, one)
