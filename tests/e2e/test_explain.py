"""Asking why: every trace, kept, dropped, undecided or unknown, over HTTP and on the command line."""

import subprocess

import pytest
import requests

from harness import checks, raw
from harness.agent import binary
from harness.wait import until

NOBODY = {"otlp_grpc/nobody": {"endpoint": "127.0.0.1:1", "tls": {"insecure": True}}}


@pytest.fixture(scope="module")
def agent(sink, start_module_agent):
    """Decides after a second."""
    return start_module_agent(sink.exporters)


@pytest.fixture(scope="module")
def patient(sink, start_module_agent):
    """Holds what nothing settles for an hour."""
    return start_module_agent(sink.exporters, decision_wait="1h")


def _ask(agent, trace_id):
    return requests.get(f"{agent.admin}/explain/{trace_id}", timeout=5)


def _explanation(agent, trace_id, ready=lambda explanation: True):
    """What the agent knows of the trace, once it knows of it and `ready` is content."""
    def known():
        answer = _ask(agent, trace_id)
        assert answer.status_code == 200, answer.text
        (explanation,) = answer.json()["explanations"]
        return explanation if ready(explanation) else None

    return until(known, f"trace {trace_id} is explained")


def _forebay(*arguments):
    return subprocess.run([binary(), "explain", *arguments], capture_output=True, text=True, timeout=30, check=False)


def _export(agent, *spans):
    client = raw.GrpcClient(agent.grpc)
    client.export(raw.request(*spans))
    client.close()


def test_a_kept_task_says_which_span_decided_and_where_it_went(agent, emitter):
    sdk = emitter(agent, "grpc")
    sent = sdk.task(priority="critical", where="child")
    sdk.flush()
    explanation = _explanation(agent, sent.trace_id, lambda e: e["state"] == "kept")
    (verdict,) = explanation["verdicts"]
    assert (verdict["policy"], verdict["evidence"]) == ("important-tasks", "task.priority = critical")
    assert sent.spans[verdict["span_id"]]["name"] == "sandbox", "the span that carries the priority"
    votes = {vote["policy"]: vote["vote"] for vote in verdict["votes"]}
    assert votes["important-tasks"] == "matched" and votes["errors"] == "not_matched"
    assert verdict["first_arrival_unix_ms"] <= verdict["last_arrival_unix_ms"] <= verdict["decided_unix_ms"]
    assert 0 < verdict["end_unix_ms"] - verdict["start_unix_ms"] <= 4000
    assert explanation["handed_to"]["processors"] == ["batch"]
    (exporter,) = explanation["handed_to"]["exporters"]
    assert exporter["id"] == "otlp_grpc/sink" and exporter["state"] == "ok" and exporter["queue"]["capacity"] > 0
    # Verdict and streamed spans together are the trace.
    whole = _explanation(agent, sent.trace_id, lambda e: verdict["spans"] + sum(late["spans"] for late in e["late"]) == len(sent.spans))
    assert all(late["verdict"] == "kept" and late["streamed"] for late in whole["late"])


def test_a_dropped_trace_has_every_vote_and_its_late_spans(agent):
    trace_id = raw.new_trace_id()
    _export(agent, *(raw.span(trace_id, f"step {i}", attributes={"task.priority": "low"}) for i in range(3)))
    explanation = _explanation(agent, trace_id.hex(), lambda e: e["state"] == "dropped")
    (verdict,) = explanation["verdicts"]
    assert (verdict["reason"], verdict["policy"], verdict["spans"]) == ("no_policy_matched", None, 3)
    assert verdict["trigger"] == "decision_wait" and verdict["held_ms"] >= 1000
    assert {vote["vote"] for vote in verdict["votes"]} == {"not_matched"} and len(verdict["votes"]) == 4
    assert explanation["handed_to"] is None and explanation["late"] == []

    _export(agent, raw.span(trace_id, "too late", attributes={"task.priority": "critical"}))
    (late,) = _explanation(agent, trace_id.hex(), lambda e: e["late"])["late"]
    assert (late["verdict"], late["spans"], late["streamed"]) == ("dropped", 1, False)
    assert late["first_unix_ms"] >= verdict["decided_unix_ms"]


def test_a_held_trace_says_how_it_stands_until_it_is_decided(patient):
    trace_id, root = raw.new_trace_id(), b"\x07" * 8
    _export(patient, raw.span(trace_id, "step", parent=root), raw.span(trace_id, "step", parent=root))
    explanation = _explanation(patient, trace_id.hex())
    held = explanation["held"]
    assert explanation["state"] == "held" and explanation["verdicts"] == [] and explanation["handed_to"] is None
    assert (held["spans"], held["service"], held["due_by"]) == (2, "by-hand", "decision_wait")
    assert 3_500_000 < held["due_in_ms"] < 3_600_000
    assert {vote["policy"]: vote["vote"] for vote in held["policies"]} == {
        "important-tasks": "no_match", "errors": "no_match", "slow-tasks": "no_match", "share-of-the-rest": "never_matches"}

    _export(patient, raw.span(trace_id, "task.run", span_id=root, attributes={"task.priority": "high"}))
    kept = _explanation(patient, trace_id.hex(), lambda e: e["state"] == "kept")
    assert kept["held"] is None and kept["verdicts"][0]["root"] == "task.run" and kept["verdicts"][0]["trigger"] == "early_keep"


def test_a_verdict_that_turned_is_a_history(start_agent, sink):
    agent = start_agent(sink.exporters, sampler={"retain_dropped": {"for": "1h", "bytes": "16MiB"}})
    trace_id = raw.new_trace_id()
    _export(agent, raw.span(trace_id, "step"), raw.span(trace_id, "step"))
    dropped = _explanation(agent, trace_id.hex(), lambda e: e["state"] == "dropped")
    assert dropped["retained"]["spans"] == 2 and dropped["retained"]["left_ms"] > 3_500_000
    _export(agent, raw.span(trace_id, "late", error=True))
    kept = _explanation(agent, trace_id.hex(), lambda e: e["state"] == "kept")
    assert [(one["verdict"], one["trigger"], one["spans"]) for one in kept["verdicts"]] == [("dropped", "decision_wait", 2), ("kept", "late_spans", 3)]
    assert [(late["verdict"], late["retained"], late["spans"]) for late in kept["late"]] == [("dropped", True, 1)]
    until(lambda: len(sink.trace(trace_id.hex())) == 3, "the whole trace came out")
    drawn = _forebay(trace_id.hex(), "--endpoint", agent.admin).stdout
    assert drawn.index("├─ dropped ") < drawn.index("├─ kept ") < drawn.index("late, retained: 1 span"), drawn


def test_what_is_not_known_and_what_is_no_id(agent):
    answer = _ask(agent, "f" * 32)
    assert answer.status_code == 404
    (remembered,) = answer.json()["remembered"]
    assert remembered["processor"] == "tail_sampling" and remembered["since_unix_ms"] > 0
    for wrong in ("", "abc", "g" * 32, "0" * 33):
        answer = _ask(agent, wrong)
        assert answer.status_code == 400 and "32 hexadecimal digits" in answer.json()["error"], wrong


def test_decisions_by_what_they_are(agent):
    kept, dropped = raw.new_trace_id(), raw.new_trace_id()
    _export(agent, raw.span(kept, error=True), raw.span(dropped, attributes={"task.priority": "odd one"}))
    for trace_id in (kept, dropped):
        _explanation(agent, trace_id.hex(), lambda e: e["verdicts"])

    def ids(**filters):
        return {one["trace_id"] for one in requests.get(f"{agent.admin}/decisions", params=filters, timeout=5).json()}

    for filters in ({"policy": "errors"}, {"reason": "policy_match", "service": "by-hand"}, {"trigger": "early_keep", "verdict": "kept"}):
        assert kept.hex() in ids(**filters) and dropped.hex() not in ids(**filters), filters
    assert ids(priority="odd one") == {dropped.hex()} == ids(priority="odd one", reason="no_policy_matched", trigger="decision_wait")
    assert requests.get(f"{agent.admin}/decisions", params={"colour": "red"}, timeout=5).status_code == 400


def test_the_command_draws_a_tree(agent, emitter):
    sdk = emitter(agent, "http")
    sent = sdk.task(failed=True)
    sdk.flush()
    _explanation(agent, sent.trace_id, lambda e: e["verdicts"])
    drawn = _forebay(sent.trace_id.upper(), "--endpoint", agent.admin)
    assert drawn.returncode == 0, drawn.stderr
    for line in (f"trace {sent.trace_id}", "kept: tail_sampling in pipeline traces", "why: policy errors (policy match): status.code = ERROR on span ",
                 "errors             matched, decided", "handed to batch, then", "otlp_grpc/sink: ok now"):
        assert line in drawn.stdout, f"{line}\n{drawn.stdout}"
    answered = _forebay(sent.trace_id, "--endpoint", agent.admin, "--json")
    assert answered.returncode == 0 and f'"trace_id":"{sent.trace_id}"' in answered.stdout

    unknown = _forebay("f" * 32, "--endpoint", agent.admin)
    assert unknown.returncode == 1 and "all that fell since" in unknown.stderr and unknown.stdout == ""
    nobody = _forebay(sent.trace_id, "--endpoint", "http://127.0.0.1:1")
    assert nobody.returncode == 1 and "--endpoint" in nobody.stderr


def test_an_exporter_in_trouble_is_said(start_agent):
    agent = start_agent(NOBODY, shutdown_timeout="1s")
    trace_id, request = raw.kept_request()
    client = raw.GrpcClient(agent.grpc)
    client.export(request)
    client.close()
    explanation = _explanation(agent, trace_id, lambda e: e["handed_to"]["exporters"][0]["last_error"])
    (exporter,) = explanation["handed_to"]["exporters"]
    assert exporter["state"] == "recoverable_error" and "onnect" in exporter["last_error"]["message"]


def test_thousands_of_verdicts_are_remembered(agent):
    trace_ids = [raw.new_trace_id() for _ in range(5000)]
    before = agent.metric("otelcol_processor_tail_sampling_global_count_traces_sampled") or 0
    for at in range(0, len(trace_ids), 1000):
        _export(agent, *(raw.span(trace_id) for trace_id in trace_ids[at:at + 1000]))
    checks.decided(agent, before + 5000)
    for trace_id in (trace_ids[0], trace_ids[2500], trace_ids[-1]):
        assert _explanation(agent, trace_id.hex())["state"] == "dropped"
