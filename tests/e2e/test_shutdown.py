"""SIGTERM: what is undecided is decided, what is kept is delivered, and the last line says what became of it all."""

import re

from harness import checks, raw

# A drop policy keeps every verdict open until its time comes: a later span could still match it.
_UNDECIDED_TO_THE_END = [
    {"name": "internal", "type": "drop", "drop": {"drop_sub_policy": [
        {"name": "marked", "type": "string_attribute", "string_attribute": {"key": "internal", "values": ["yes"]}}]}},
    {"name": "important-tasks", "type": "string_attribute", "string_attribute": {"key": "task.priority", "values": ["critical", "high"]}},
]


def test_undecided_traces_are_decided_and_delivered(start_agent, emitter, sink):
    agent = start_agent(sink.exporters, decision_wait="300s", policies=_UNDECIDED_TO_THE_END)
    sdk = emitter(agent, "grpc")
    kept = [sdk.task(priority="critical") for _ in range(20)]
    dropped = [sdk.task(priority="low") for _ in range(20)]
    sdk.flush()
    client = raw.GrpcClient(agent.grpc)
    internal = raw.new_trace_id()
    client.export(raw.request(raw.span(internal, attributes={"task.priority": "critical", "internal": "yes"})))
    client.close()
    assert not {one.trace_id for one in kept} & sink.trace_ids(), "nothing is decided before its time"

    agent.stop(timeout=20)

    # The agent is gone: what it had to deliver is there now, not later.
    for one in kept:
        checks.arrives_whole(sink, one, timeout=0)
    for one in dropped:
        checks.is_absent(sink, one)
    assert internal.hex() not in sink.trace_ids()

    spans = sum(len(one.spans) for one in kept)
    last = agent.log.strip().splitlines()[-1]
    assert re.search(rf"\b{spans}\b", last), f"the last line says how many spans were sent ({spans}): {last}"


def test_a_dead_backend_does_not_hold_the_stop_up(start_agent, emitter, sink):
    """The queue of a backend that is not there is given up within the shutdown timeout; the others get their share."""
    nobody = {"endpoint": "127.0.0.1:1", "tls": {"insecure": True}}
    agent = start_agent({**sink.exporters, "otlp_grpc/nobody": nobody}, decision_wait="300s", shutdown_timeout="2s",
                        policies=_UNDECIDED_TO_THE_END)
    sdk = emitter(agent, "http")
    one = sdk.task(priority="high")
    sdk.flush()
    agent.stop(timeout=15)
    checks.arrives_whole(sink, one, timeout=0)
