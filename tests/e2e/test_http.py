"""OTLP over HTTP by the specification: encodings, media types, methods, CORS."""

import gzip
import json

import pytest
import requests
import zstandard

from harness import checks, model, raw
from harness.emit import SentTrace

ORIGIN = "https://console.example"


@pytest.fixture(scope="module")
def agent(sink, start_module_agent):
    return start_module_agent(sink.exporters, cors={"allowed_origins": [ORIGIN, "https://*.example.org"],
                                                    "allowed_headers": ["Content-Type", "X-Trace-Source"], "max_age": 7200})


def _everything(trace_id):
    """A request in OTLP/JSON with every kind of value, and fields that nobody knows (yet)."""
    root, child = "00f067aa0ba902b7", "00f067aa0ba902b8"
    return {"futureField": {"a": [1, {"b": None}]}, "resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "browser"}}], "droppedAttributesCount": 1},
        "schemaUrl": "https://opentelemetry.io/schemas/1.30.0",
        "scopeSpans": [{
            "scope": {"name": "by-hand", "version": "2", "attributes": [{"key": "s", "value": {"boolValue": True}}]},
            "spans": [
                {"traceId": trace_id, "spanId": root, "name": "task.run", "kind": 2, "traceState": "a=1,b=2", "flags": 257,
                 "startTimeUnixNano": "1795000000000000001", "endTimeUnixNano": "1795000001000000002",
                 "attributes": [
                     {"key": "task.priority", "value": {"stringValue": "critical"}},
                     {"key": "int", "value": {"intValue": "-9223372036854775808"}},
                     {"key": "int.number", "value": {"intValue": 12}},
                     {"key": "double", "value": {"doubleValue": 0.1}},
                     {"key": "bytes", "value": {"bytesValue": "AAEC/w=="}},
                     {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "x"}, {"arrayValue": {"values": [{"intValue": "1"}]}}]}}},
                     {"key": "map", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": False}}]}}},
                     {"key": "text", "value": {"stringValue": "line\nbreak \u2028 \U0001f600 \u0000"}},
                     {"key": "nothing", "value": {}},
                 ],
                 "events": [{"timeUnixNano": "1795000000500000000", "name": "e", "attributes": [{"key": "n", "value": {"intValue": "1"}}],
                             "droppedAttributesCount": 2}],
                 "links": [{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "traceState": "l=1",
                            "attributes": [{"key": "why", "value": {"stringValue": "retry"}}]}],
                 "status": {"code": 2, "message": "no"}, "unknownField": True},
                {"traceId": trace_id, "spanId": child, "parentSpanId": root, "name": "", "kind": 0,
                 "startTimeUnixNano": "1795000000000000001", "endTimeUnixNano": "1795000000000000001"},
            ]}]}]}


def _post(agent, body, **headers):
    return requests.post(f"{agent.http}/v1/traces", data=body, headers={key.replace("_", "-"): value for key, value in headers.items()}, timeout=10)


def _compress(encoding, body):
    return {"identity": bytes, "gzip": gzip.compress, "zstd": zstandard.compress}[encoding](body)


@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd"])
def test_json_with_everything_in_it_arrives_equal(agent, sink, encoding):
    trace_id = raw.new_trace_id().hex()
    body = _everything(trace_id)
    answer = _post(agent, _compress(encoding, json.dumps(body).encode()), Content_Type="application/json", Content_Encoding=encoding)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("application/json")
    assert not answer.json().get("partialSuccess"), "nothing was rejected"
    sent = SentTrace(trace_id, True, "everything", model.from_otlp_json(body["resourceSpans"])[trace_id])
    checks.arrives_whole(sink, sent)


@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd"])
def test_protobuf_in_every_encoding(agent, sink, encoding):
    trace_id, message = raw.kept_request(3)
    answer = _post(agent, _compress(encoding, message.SerializeToString()), Content_Type="application/x-protobuf", Content_Encoding=encoding)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/x-protobuf"
    partial = raw.otlp.ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (partial.rejected_spans, partial.error_message) == (0, "")
    sent = SentTrace(trace_id, True, encoding, model.from_otlp_json(raw.as_json(message)["resourceSpans"])[trace_id])
    checks.arrives_whole(sink, sent)


def test_json_is_json_with_a_charset_too(agent):
    answer = _post(agent, json.dumps(_everything(raw.new_trace_id().hex())), Content_Type="application/json; charset=utf-8")
    assert answer.status_code == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml"])
def test_other_media_types_are_415(agent, content_type):
    assert _post(agent, b"{}", Content_Type=content_type).status_code == 415


def test_unknown_encodings_are_refused(agent):
    answer = _post(agent, b"\x00", Content_Type="application/x-protobuf", Content_Encoding="x-rot13")
    assert answer.status_code in (400, 415)


def test_only_post_and_only_the_path(agent):
    assert requests.get(f"{agent.http}/v1/traces", timeout=5).status_code == 405
    assert requests.post(f"{agent.http}/v1/nothing", data=b"", headers=raw.PROTOBUF, timeout=5).status_code == 404


def _preflight(agent, origin):
    return requests.options(f"{agent.http}/v1/traces", timeout=5, headers={
        "Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-trace-source"})


@pytest.mark.parametrize("origin", [ORIGIN, "https://app.example.org"])
def test_cors_preflight_of_an_allowed_origin(agent, origin):
    answer = _preflight(agent, origin)
    assert answer.status_code in (200, 204)
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "x-trace-source" in answer.headers["Access-Control-Allow-Headers"].lower()
    assert answer.headers["Access-Control-Max-Age"] == "7200"


def test_cors_of_a_post_from_an_allowed_origin(agent):
    _, message = raw.kept_request()
    answer = _post(agent, message.SerializeToString(), Content_Type="application/x-protobuf", Origin=ORIGIN)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


@pytest.mark.parametrize("origin", ["https://evil.test", "https://console.example.evil.test", "https://example.org"])
def test_cors_of_another_origin_allows_nothing(agent, origin):
    assert "Access-Control-Allow-Origin" not in _preflight(agent, origin).headers
