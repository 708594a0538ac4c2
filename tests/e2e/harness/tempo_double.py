"""A contract double of Tempo: the part of its behaviour that an exporter and a reader of traces meet.

OTLP in over gRPC and HTTP (/v1/traces), several tenants: a request without X-Scope-OrgID is refused.
GET /api/v2/traces/{id} answers with Tempo's own JSON (ids in base64, enum names), GET /ready with "ready".
Every status and limit here was seen in Tempo 3.1; test_tempo_contract.py asks the same of the double and of a real one.
"""

import gzip
import json
import re
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, status_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

NO_TENANT = "no org id"
GRPC_LIMIT = 4 << 20
HTTP_LIMIT = 20 << 20


class TempoDouble:
    """Listens as soon as it is made; `close` it at the end."""

    def __init__(self, grpc_limit=GRPC_LIMIT):
        self._lock = threading.Lock()
        self._resource_spans = {}  # (tenant, trace id) -> [ResourceSpans of that trace only]
        self.requests = []  # (protocol, tenant, spans) of every request taken

        self._grpc = grpc.server(futures.ThreadPoolExecutor(8), options=[
            ("grpc.max_receive_message_length", grpc_limit), ("grpc.so_reuseport", 0)])
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_GrpcService(self), self._grpc)
        self.grpc_port = self._grpc.add_insecure_port("127.0.0.1:0")
        self._grpc.start()

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.http_port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self._grpc.stop(0).wait()
        self._http.shutdown()
        self._http.server_close()

    def push(self, protocol, tenant, request):
        """Takes a request for a tenant, all of it or (an id of the wrong length) none: the reason."""
        taken = []
        for rs in request.resource_spans:
            for ss in rs.scope_spans:
                for span in ss.spans:
                    if len(span.trace_id) != 16 or not any(span.trace_id):
                        return "trace ids must be 128 bit"
                    if len(span.span_id) != 8 or not any(span.span_id):
                        return "span ids must be 64 bit and not all zero"
                    one = trace_pb2.ResourceSpans(resource=rs.resource, schema_url=rs.schema_url)
                    one.scope_spans.add(scope=ss.scope, schema_url=ss.schema_url).spans.append(span)
                    taken.append((span.trace_id.hex(), one))
        with self._lock:
            self.requests.append((protocol, tenant, len(taken)))
            for trace_id, one in taken:
                self._resource_spans.setdefault((tenant, trace_id), []).append(one)
        return None

    def trace_json(self, tenant, trace_id):
        """Tempo's answer to a trace by id; one it does not know is an empty trace."""
        with self._lock:
            found = trace_pb2.TracesData(resource_spans=self._resource_spans.get((tenant, trace_id), []))
        return {"trace": json_format.MessageToDict(found), "metrics": {}}

    def trace_ids(self, tenant):
        with self._lock:
            return {trace_id for owner, trace_id in self._resource_spans if owner == tenant}


class _GrpcService(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, double):
        self._double = double

    def Export(self, request, context):  # noqa: N802, the service's own name
        tenant = dict(context.invocation_metadata()).get("x-scope-orgid")
        if not tenant:
            context.abort(grpc.StatusCode.UNAVAILABLE, NO_TENANT)
        refused = self._double.push("grpc", tenant, request)
        if refused:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, refused)
        return trace_service_pb2.ExportTraceServiceResponse()


def _handler(double):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def _answer(self, status, body, content_type="text/plain"):
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _refuse(self, status, code, reason):
            """As OTLP asks: the body is a google.rpc.Status."""
            self._answer(status, status_pb2.Status(code=code, message=reason).SerializeToString(), "application/x-protobuf")

        def do_POST(self):  # noqa: N802
            body = self.rfile.read(int(self.headers["Content-Length"]))
            tenant = self.headers.get("X-Scope-OrgID")
            if self.path != "/v1/traces":
                return self._answer(404, b"404 page not found")
            if self.headers.get("Content-Type") != "application/x-protobuf":
                return self._answer(415, b"415 unsupported media type")
            try:
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if len(body) > HTTP_LIMIT:
                    return self._refuse(400, code_pb2.INVALID_ARGUMENT, "http: request body too large")
                request = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
            except (DecodeError, OSError) as bad:
                return self._refuse(400, code_pb2.INVALID_ARGUMENT, str(bad))
            if not tenant:
                return self._refuse(503, code_pb2.UNAVAILABLE, NO_TENANT)
            refused = double.push("http", tenant, request)
            if refused:
                return self._refuse(400, code_pb2.INVALID_ARGUMENT, refused)
            return self._answer(200, trace_service_pb2.ExportTraceServiceResponse().SerializeToString(), "application/x-protobuf")

        def do_GET(self):  # noqa: N802
            if self.path == "/ready":
                return self._answer(200, b"ready\n")
            prefix = "/api/v2/traces/"
            if not self.path.startswith(prefix):
                return self._answer(404, b"404 page not found")
            tenant = self.headers.get("X-Scope-OrgID")
            if not tenant:
                return self._answer(401, NO_TENANT.encode())
            trace_id = self.path.removeprefix(prefix)
            if not re.fullmatch("[0-9a-f]{1,32}", trace_id):
                return self._answer(400, b"trace IDs can only contain hex characters, and no more than 128 bits")
            answer = double.trace_json(tenant, trace_id)
            return self._answer(200, json.dumps(answer).encode(), "application/json")

    return Handler
