"""OTLP requests by hand, for what an SDK never sends: split traces, wrong ids, bytes that are no message."""

import random
import time

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}


def new_trace_id():
    return random.randbytes(16)


def span(trace_id, name="step", span_id=None, parent=b"", attributes=None, error=False):
    """One span proto; attributes are strings."""
    now = time.time_ns()
    one = otlp.ExportTraceServiceRequest().resource_spans.add().scope_spans.add().spans.add(
        trace_id=trace_id, span_id=random.randbytes(8) if span_id is None else span_id, parent_span_id=parent,
        name=name, kind=1, start_time_unix_nano=now - 1_000_000, end_time_unix_nano=now)
    for key, value in (attributes or {}).items():
        one.attributes.add(key=key).value.string_value = value
    if error:
        one.status.code = 2
    return one


def request(*spans, service="by-hand"):
    message = otlp.ExportTraceServiceRequest()
    resource_spans = message.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = service
    resource_spans.scope_spans.add().spans.extend(spans)
    return message


def kept_request(size=1):
    """(trace id in hex, request) of a trace that the policies keep."""
    trace_id = new_trace_id()
    spans = [span(trace_id, attributes={"task.priority": "critical"}) for _ in range(size)]
    return trace_id.hex(), request(*spans)


def as_json(message):
    """OTLP/JSON by the specification: ids in hex, enums as numbers."""
    body = json_format.MessageToDict(message, use_integers_for_enums=True)
    for rs, rs_message in zip(body["resourceSpans"], message.resource_spans):
        for ss, ss_message in zip(rs["scopeSpans"], rs_message.scope_spans):
            for one, one_message in zip(ss["spans"], ss_message.spans):
                one["traceId"], one["spanId"] = one_message.trace_id.hex(), one_message.span_id.hex()
                if one_message.parent_span_id:
                    one["parentSpanId"] = one_message.parent_span_id.hex()
    return body


class GrpcClient:
    """One connection of its own (channels to one address would otherwise share one)."""

    def __init__(self, target):
        self._channel = grpc.insecure_channel(target, options=[
            ("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)])
        self._stub = trace_service_pb2_grpc.TraceServiceStub(self._channel)
        self._bytes = self._channel.unary_unary(EXPORT)

    def export(self, message, timeout=10):
        return self._stub.Export(message, timeout=timeout)

    def send_bytes(self, body, compression=None, timeout=30, metadata=None):
        """Sends what may be no message at all: the RpcError it was answered with, or None."""
        try:
            self._bytes(body, compression=compression, timeout=timeout, metadata=metadata)
        except grpc.RpcError as refused:
            return refused
        return None

    def close(self):
        self._channel.close()
