"""How a trace arrives does not matter: in what order, over which connection, in how many requests."""

from harness import checks, raw
from harness.emit import SentTrace
from harness.model import from_otlp_json


def _as_sent(label, *spans):
    """What the backends must show for spans sent by hand."""
    traces = from_otlp_json(raw.as_json(raw.request(*spans))["resourceSpans"])
    (trace_id, by_id), = traces.items()
    return SentTrace(trace_id, True, label, by_id)


def test_a_critical_span_that_arrives_last_saves_the_whole_trace(start_agent, three_exporters, jaeger, tempo):
    agent = start_agent({name: e for name, e in three_exporters.items() if name != "zipkin"}, decision_wait="2s")
    client = raw.GrpcClient(agent.grpc)
    trace_id, root = raw.new_trace_id(), b"\x01" * 8
    early = [raw.span(trace_id, f"step {i}", parent=root) for i in range(50)]
    last = raw.span(trace_id, "task.run", span_id=root, attributes={"task.priority": "critical"})
    for one in early:
        client.export(raw.request(one))
    client.export(raw.request(last))
    client.close()

    sent = _as_sent("critical last", *early, last)
    checks.arrives_whole(jaeger, sent)
    checks.arrives_whole(tempo, sent)


def test_one_trace_over_two_connections_and_three_requests(start_agent, three_exporters, jaeger, tempo):
    agent = start_agent({name: e for name, e in three_exporters.items() if name != "zipkin"}, decision_wait="2s")
    trace_id, root = raw.new_trace_id(), b"\x02" * 8
    first = [raw.span(trace_id, f"a{i}", parent=root) for i in range(3)]
    second = [raw.span(trace_id, f"b{i}", parent=root) for i in range(3)]
    third = [raw.span(trace_id, "task.run", span_id=root, attributes={"task.priority": "high"})]

    one, other = raw.GrpcClient(agent.grpc), raw.GrpcClient(agent.grpc)
    one.export(raw.request(*first))
    other.export(raw.request(*second))
    one.export(raw.request(*third))
    for client in (one, other):
        client.close()

    sent = _as_sent("split", *first, *second, *third)
    checks.arrives_whole(jaeger, sent)
    checks.arrives_whole(tempo, sent)
