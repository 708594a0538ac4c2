"""What no honest client sends: each is refused clearly, memory stays flat, and the other clients notice nothing."""

import functools
import gzip
import json
import socket
import threading
import time

import grpc
import pytest
import requests
import zstandard
from google.rpc import status_pb2

from harness import http2, raw
from harness.wait import until

MIB = 1 << 20
# Room for one message of the largest size allowed (20 MiB over HTTP), its decompressed copy, and the allocator.
FLAT = 64 * MIB


class _GoodClient:
    """Sends a small kept trace every few milliseconds all the while; every one must be taken, and arrive."""

    def __init__(self, target):
        self._client, self._stop = raw.GrpcClient(target), threading.Event()
        self.sent, self.failures = [], []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(0.01):  # the pace of this client
            trace_id, message = raw.kept_request()
            try:
                self._client.export(message, timeout=10)
                self.sent.append(trace_id)
            except grpc.RpcError as failure:
                self.failures.append(failure)

    def goes_on(self):
        """It has got through since now."""
        before = len(self.sent)
        until(lambda: len(self.sent) >= before + 3, "the other client goes on", timeout=10)
        assert not self.failures, self.failures[0]

    def stop(self):
        self._stop.set()
        self._thread.join()
        self._client.close()


@pytest.fixture(scope="module")
def agent(sink, start_module_agent):
    return start_module_agent(sink.exporters)


@pytest.fixture(scope="module")
def good_client(agent, sink):
    client = _GoodClient(agent.grpc)
    yield client
    client.stop()
    assert not client.failures, client.failures[0]
    until(lambda: set(client.sent) <= sink.trace_ids(), "all that the good client sent arrived")


@pytest.fixture(autouse=True)
def nobody_else_notices(agent, good_client):
    """Around every test here: memory stays flat, the agent lives, the good client gets through."""
    good_client.goes_on()
    agent.reset_peak_memory()
    before = agent.peak_memory()
    yield
    agent.check_alive()
    good_client.goes_on()
    grown = agent.peak_memory() - before
    assert grown < FLAT, f"memory grew by {grown / MIB:.0f} MiB"
    assert "panicked" not in agent.log, agent.log[-4000:]


@pytest.fixture
def grpc_client(agent):
    client = raw.GrpcClient(agent.grpc)
    yield client
    client.close()


def _post(agent, body, headers, **more):
    return requests.post(f"{agent.http}/v1/traces", data=body, headers={**headers, **more}, timeout=30)


@functools.cache
def _valid():
    return raw.kept_request(50)[1].SerializeToString()


MALFORMED = {
    "random bytes": bytes(range(255, 0, -1)) * 5,
    "cut off": _valid()[:-7],
    "a length beyond the end": b"\x0a\xff\xff\xff\xff\x0f",
    "a varint without end": b"\x08" + b"\xff" * 20,
    "a group that is never closed": b"\x0b" * 5000,
    "a field of number 0": b"\x00\x01",
    "text that is not UTF-8": raw.request(raw.span(raw.new_trace_id(), name="abc")).SerializeToString().replace(b"abc", b"\xff\xfe\xfd"),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_malformed_protobuf_over_http_is_400_with_a_reason(agent, body):
    answer = _post(agent, body, raw.PROTOBUF)
    assert answer.status_code == 400, answer.content
    assert status_pb2.Status.FromString(answer.content).message


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_malformed_protobuf_over_grpc_is_never_to_be_retried(grpc_client, body):
    refused = grpc_client.send_bytes(body)
    assert refused is not None and refused.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL), refused
    assert refused.details()


MALFORMED_JSON = {
    "not JSON": b"{]", "cut off": b'{"resourceSpans": [{"scopeSp', "empty": b"", "a list": b"[]", "a string for a list": b'{"resourceSpans": "x"}',
    "deeply nested": b'{"a":' * 100_000, "a number for a text": b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name": 7}]}]}]}',
    "not UTF-8": b'{"resourceSpans": [{"schemaUrl": "\xff"}]}',
    "an id that is not hex": b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId": "zz"}]}]}]}',
}


@pytest.mark.parametrize("body", MALFORMED_JSON.values(), ids=MALFORMED_JSON)
def test_malformed_json_is_400_with_a_reason(agent, body):
    answer = _post(agent, body, raw.JSON)
    assert answer.status_code == 400, answer.content
    assert answer.json()["message"]


@functools.cache
def _bomb(encoding):
    """1 GiB of zeros."""
    if encoding == "zstd":
        return b"".join(zstandard.ZstdCompressor(level=1).compress(bytes(256 * MIB)) for _ in range(4))
    return gzip.compress(bytes(64 * MIB)) * 16  # members may follow one another


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_compression_bomb_over_http_is_refused(agent, encoding):
    answer = _post(agent, _bomb(encoding), raw.PROTOBUF, **{"Content-Encoding": encoding})
    assert answer.status_code in (400, 413), answer.content
    assert answer.content


def test_a_compression_bomb_over_grpc_is_refused(grpc_client):
    refused = grpc_client.send_bytes(bytes(256 * MIB), compression=grpc.Compression.Gzip)
    assert refused.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, refused


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_what_does_not_decompress_is_400(agent, encoding):
    assert _post(agent, b"\x1f\x8b nothing of the kind", raw.PROTOBUF, **{"Content-Encoding": encoding}).status_code == 400


def test_a_gzip_body_cut_off_is_400(agent):
    assert _post(agent, gzip.compress(_valid())[:-20], raw.PROTOBUF, **{"Content-Encoding": "gzip"}).status_code == 400


@functools.cache
def _64_mib():
    """A well-formed request of 64 MiB: one span with one long attribute."""
    return raw.request(raw.span(raw.new_trace_id(), attributes={"task.priority": "critical", "text": "x" * (64 * MIB)})).SerializeToString()


def test_64_mib_over_http_is_413(agent):
    try:
        answer = _post(agent, _64_mib(), raw.PROTOBUF)
    except requests.ConnectionError:
        # The agent may answer and hang up before it has read all of it; this client then sees only the hang-up.
        return
    assert answer.status_code == 413, answer.content


def test_64_mib_without_a_length_is_413(agent):
    """Chunked: the agent cannot know the size beforehand."""
    chunks = (b"\x00" * MIB for _ in range(64))
    try:
        answer = _post(agent, chunks, raw.PROTOBUF)
    except requests.ConnectionError:
        return
    assert answer.status_code in (400, 413), answer.content


def test_64_mib_over_grpc_is_resource_exhausted(grpc_client):
    refused = grpc_client.send_bytes(_64_mib())
    assert refused.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, refused
    assert refused.details()


@pytest.mark.parametrize("attack", [
    lambda port: http2.message_cut_off(port, _valid()), http2.frame_cut_off, lambda port: http2.stream_reset(port, _valid()), http2.garbage,
], ids=["message cut off", "frame cut off", "stream reset", "garbage"])
def test_a_truncated_http2_stream_counts_for_nothing(agent, attack):
    for _ in range(20):
        attack(agent.grpc_port)


def test_an_http1_body_cut_off_counts_for_nothing(agent):
    head = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 100000\r\n\r\n"
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", agent.http_port)) as connection:
            connection.sendall(head + _valid()[:100])


def test_many_silent_connections_do_no_harm(agent):
    """200 connections that never say a word, while the good client goes on (the fixture sees to it)."""
    open_connections = [socket.create_connection(("127.0.0.1", port)) for port in (agent.grpc_port, agent.http_port) for _ in range(100)]
    started = time.monotonic()
    assert requests.post(f"{agent.http}/v1/traces", data=_valid(), headers=raw.PROTOBUF, timeout=10).status_code == 200
    assert time.monotonic() - started < 5
    for connection in open_connections:
        connection.close()


# Spans with ids of the wrong length: rejected with count and reason, while the good ones of the same request go on.

def _with_bad_ids():
    """(trace id of the two good spans, request, how many are bad)."""
    trace_id = raw.new_trace_id()
    good = [raw.span(trace_id, attributes={"task.priority": "critical"}), raw.span(trace_id)]
    bad = [
        raw.span(b"\x01" * 15), raw.span(b"\x01" * 17), raw.span(b""), raw.span(trace_id, span_id=b"\x01" * 7),
        raw.span(trace_id, span_id=b"\x01" * 9), raw.span(trace_id, span_id=b""), raw.span(bytes(16)), raw.span(trace_id, span_id=bytes(8)),
    ]
    return trace_id.hex(), raw.request(good[0], *bad, good[1]), len(bad)


def _assert_partial(rejected, message, bad):
    assert rejected == bad
    assert "id" in message.lower(), message


def _goods_arrive(sink, trace_id):
    until(lambda: len(sink.trace(trace_id)) == 2, "the good spans of the request arrive")


def test_wrong_ids_over_grpc(grpc_client, sink):
    trace_id, message, bad = _with_bad_ids()
    answer = grpc_client.export(message)
    _assert_partial(answer.partial_success.rejected_spans, answer.partial_success.error_message, bad)
    _goods_arrive(sink, trace_id)


def test_wrong_ids_over_http(agent, sink):
    trace_id, message, bad = _with_bad_ids()
    answer = _post(agent, message.SerializeToString(), raw.PROTOBUF)
    assert answer.status_code == 200
    partial = raw.otlp.ExportTraceServiceResponse.FromString(answer.content).partial_success
    _assert_partial(partial.rejected_spans, partial.error_message, bad)
    _goods_arrive(sink, trace_id)


def test_wrong_ids_in_json(agent, sink):
    trace_id, message, bad = _with_bad_ids()
    answer = _post(agent, json.dumps(raw.as_json(message)), raw.JSON)
    assert answer.status_code == 200
    partial = answer.json()["partialSuccess"]
    _assert_partial(int(partial["rejectedSpans"]), partial["errorMessage"], bad)
    _goods_arrive(sink, trace_id)
