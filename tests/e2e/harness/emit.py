"""Agent-task traces from the real OpenTelemetry SDK, each recorded as it was sent.

One task crosses four services, each with its own TracerProvider, resource, exporter and connection, as four processes have.
"""

import random
import threading
import time
from dataclasses import dataclass, field

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, TraceState

from . import model

SERVICES = ("orchestrator", "llm-gateway", "tool-runner", "retriever")
SECOND = 1_000_000_000


@dataclass
class SentTrace:
    """A trace as the SDK sent it; `kept` is what the tests' policies must say about it."""

    trace_id: str
    kept: bool
    label: str
    spans: dict = field(default_factory=dict)


class _Recorder(SpanProcessor):
    """Keeps every ended span by its trace."""

    def __init__(self):
        self._lock = threading.Lock()
        self._spans = {}

    def on_end(self, span):
        one = model.from_sdk(span)
        with self._lock:
            self._spans.setdefault(one["trace_id"], {})[one["span_id"]] = one

    def take(self, trace_id):
        with self._lock:
            return self._spans.pop(trace_id)


class _WithTraceState(Sampler):
    """Samples all in the SDK, and gives roots a W3C tracestate so that the tests see it carried."""

    def should_sample(self, parent_context, trace_id, name, kind=None, attributes=None, links=None, trace_state=None):
        parent = trace.get_current_span(parent_context).get_span_context()
        state = parent.trace_state if parent.is_valid else TraceState([("vendor", "opaque-value")])
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, state)

    def get_description(self):
        return "all, with a tracestate"


class Emitter:
    """`protocol` is "grpc" (endpoint host:port) or "http" (endpoint http://host:port); close it at the end."""

    def __init__(self, protocol, endpoint, seed=7):
        self._recorder = _Recorder()
        self._providers = {}
        self._random = random.Random(seed)
        for service in SERVICES:
            resource = Resource.create({
                "service.name": service, "service.version": "1.4.2", "service.instance.id": f"{service}-0",
                "deployment.environment.name": "e2e", "host.cores": 2, "gpu": False,
            })
            provider = TracerProvider(sampler=_WithTraceState(), resource=resource, shutdown_on_exit=False)
            provider.add_span_processor(self._recorder)
            exporter = (
                GrpcExporter(endpoint=endpoint, insecure=True, timeout=10) if protocol == "grpc"
                else HttpExporter(endpoint=f"{endpoint}/v1/traces", timeout=10)
            )
            provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=50, max_export_batch_size=64))
            self._providers[service] = provider

    def flush(self):
        """Everything emitted so far has been exported: the agent has answered."""
        for provider in self._providers.values():
            assert provider.force_flush(20_000), "the SDK could not export in time"

    def close(self):
        for provider in self._providers.values():
            provider.shutdown()

    def task(self, priority="normal", where="root", failed=False, seconds=4.0, kept=None):
        """Emits one task and says what was sent.

        `where`: the span that carries task.priority: "root" (ends last) or "child" (the last child, set just before its end).
        `failed`: a tool call ends with status ERROR. `seconds`: how long the task took by its timestamps (60 and more is slow).
        """
        if kept is None:
            kept = priority in ("critical", "high") or failed or seconds >= 60
        start = time.time_ns() - int(seconds * SECOND) - SECOND
        step = int(seconds * SECOND) // 10
        tracers = {
            name: provider.get_tracer("agentkit." + name, "0.9.1", attributes={"scope.stable": True})
            for name, provider in self._providers.items()
        }
        outside = Link(trace.SpanContext(self._random.getrandbits(128) | 1, self._random.getrandbits(64) | 1, True,
                                         trace_state=TraceState([("queue", "q7")])), {"relation": "scheduled-by", "position": 3})

        root = tracers["orchestrator"].start_span(
            "task.run", kind=SpanKind.CONSUMER, links=[outside], start_time=start,
            attributes={
                "task.id": f"task-{self._random.randrange(10**9)}", "task.attempt": 2, "task.budget_usd": 1.5,
                "task.interactive": False, "task.tools": ["search", "python"], "task.weights": [0.25, 0.75],
                "task.retries_ms": [100, 200, 400], "task.flags": [True, False], "task.goal": "Résumé of 日本語 \"quotes\" {and} \\ more",
                "task.empty": "", "task.big": 2**62 + 1, "task.negative": -7,
            })
        root.add_event("task.accepted", {"queue.depth": 12, "queue.name": "default"}, timestamp=start + 1_001_000)

        plan = self._child(tracers["orchestrator"], "plan", SpanKind.INTERNAL, root, start + step)
        llm = self._child(tracers["orchestrator"], "llm.request", SpanKind.CLIENT, plan, start + 2 * step,
                          {"server.address": "llm-gateway.internal", "server.port": 8443, "peer.service": "llm-gateway"})
        served = self._child(tracers["llm-gateway"], "chat completions", SpanKind.SERVER, llm, start + 2 * step + 40_000,
                             {"gen_ai.request.model": "m-large", "gen_ai.usage.input_tokens": 1834, "gen_ai.request.temperature": 0.2})
        served.add_event("first token", timestamp=start + 2 * step + 100_003_000)
        served.add_event("finish", {"reason": "stop", "tokens": [11, 22]}, timestamp=start + 3 * step)
        served.set_status(Status(StatusCode.OK))
        for span in (served, llm, plan):
            span.end(end_time=start + 3 * step)

        lookup = self._child(tracers["retriever"], "vector.search", SpanKind.CLIENT, root, start + 4 * step,
                             {"db.system.name": "vectors", "db.collection.name": "docs", "server.address": "vectors.internal"})
        lookup.end(end_time=start + 5 * step)

        call = self._child(tracers["tool-runner"], "tool.execute", SpanKind.PRODUCER, root, start + 5 * step, {"tool.name": "python"},
                           links=[Link(lookup.get_span_context(), {"use": "context"})])
        if failed:
            call.record_exception(ValueError("exit status 3"), timestamp=start + 6 * step)
            call.set_status(Status(StatusCode.ERROR, "the tool ended with exit status 3"))
        last = self._child(tracers["tool-runner"], "sandbox", SpanKind.INTERNAL, call, start + 6 * step)
        if where == "child":
            last.set_attribute("task.priority", priority)
        last.end(end_time=start + 7 * step)
        call.end(end_time=start + 8 * step)

        if where == "root":
            root.set_attribute("task.priority", priority)
        root.end(end_time=start + 10 * step)

        trace_id = f"{root.get_span_context().trace_id:032x}"
        label = f"{priority} on the {where}{', failed' if failed else ''}, {seconds:g} s"
        return SentTrace(trace_id, kept, label, self._recorder.take(trace_id))

    @staticmethod
    def _child(tracer, name, kind, parent, start, attributes=None, links=None):
        context = trace.set_span_in_context(parent)
        return tracer.start_span(name, context=context, kind=kind, attributes=attributes, links=links, start_time=start)
