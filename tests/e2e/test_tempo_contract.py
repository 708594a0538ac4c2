"""The double of Tempo answers as Tempo does: these tests pass against both, whichever the run uses."""

import gzip

import grpc
import pytest
import requests
from google.rpc import code_pb2, status_pb2

from harness import raw
from harness.wait import until

TENANT = {"X-Scope-OrgID": "contract"}
METADATA = (("x-scope-orgid", "contract"),)


@pytest.fixture
def client(tempo):
    one = raw.GrpcClient(f"127.0.0.1:{tempo.otlp_grpc}")
    yield one
    one.close()


def _post(tempo, body, headers):
    return requests.post(f"http://127.0.0.1:{tempo.otlp_http}/v1/traces", data=body, headers={**raw.PROTOBUF, **headers}, timeout=20)


def _get(tempo, trace_id, headers=None):
    return requests.get(f"http://127.0.0.1:{tempo.http}/api/v2/traces/{trace_id}", headers=TENANT if headers is None else headers, timeout=10)


def _of_size(size):
    return raw.request(raw.span(raw.new_trace_id(), attributes={"text": "x" * size})).SerializeToString()


@pytest.mark.parametrize("encode, headers", [(bytes, {}), (gzip.compress, {"Content-Encoding": "gzip"})], ids=["plain", "gzip"])
def test_http_takes_a_request_of_a_tenant(tempo, encode, headers):
    trace_id, message = raw.kept_request(2)
    assert _post(tempo, encode(message.SerializeToString()), {**TENANT, **headers}).status_code == 200
    until(lambda: len(tempo.trace(trace_id, tenant="contract")) == 2, "the trace is there")


def test_grpc_takes_a_request_of_a_tenant(tempo, client):
    trace_id, message = raw.kept_request(2)
    assert client.send_bytes(message.SerializeToString(), metadata=METADATA) is None
    until(lambda: len(tempo.trace(trace_id, tenant="contract")) == 2, "the trace is there")


def test_without_a_tenant_nothing_goes(tempo, client):
    body = raw.kept_request()[1].SerializeToString()
    answer = _post(tempo, body, {})
    assert answer.status_code == 503
    status = status_pb2.Status.FromString(answer.content)
    assert (status.code, status.message) == (code_pb2.UNAVAILABLE, "no org id")
    refused = client.send_bytes(body)
    assert (refused.code(), refused.details()) == (grpc.StatusCode.UNAVAILABLE, "no org id")
    assert _get(tempo, "ab" * 16, headers={}).status_code == 401


def test_an_unknown_trace_is_an_empty_one(tempo):
    answer = _get(tempo, "ab" * 16)
    assert answer.status_code == 200
    assert answer.json()["trace"] == {}


@pytest.mark.parametrize("trace_id", ["zz", "ab" * 20])
def test_what_is_no_trace_id_is_400(tempo, trace_id):
    assert _get(tempo, trace_id).status_code == 400


@pytest.mark.parametrize("body", [
    b"\xff\xff", raw.request(raw.span(b"\x01" * 15)).SerializeToString(), raw.request(raw.span(bytes(16))).SerializeToString(),
    raw.request(raw.span(b"\x01" * 16, span_id=bytes(8))).SerializeToString(), _of_size(21 << 20),
], ids=["no message", "short trace id", "zero trace id", "zero span id", "21 MiB"])
def test_http_refuses_for_good(tempo, body):
    answer = _post(tempo, body, TENANT)
    assert answer.status_code == 400
    status = status_pb2.Status.FromString(answer.content)
    assert status.code == code_pb2.INVALID_ARGUMENT and status.message


def test_grpc_refuses_zero_ids_and_more_than_4_mib(client):
    refused = client.send_bytes(raw.request(raw.span(bytes(16))).SerializeToString(), metadata=METADATA)
    assert refused.code() == grpc.StatusCode.INVALID_ARGUMENT
    refused = client.send_bytes(_of_size(5 << 20), metadata=METADATA)
    assert refused.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_http_refuses_other_media_types(tempo):
    assert _post(tempo, b"{}", {**TENANT, "Content-Type": "text/plain"}).status_code == 415
