"""Checks that several tests make on what reached the backends."""

from . import model, zipkin_model
from .wait import until


def arrives_whole(backend, sent, timeout=30):
    """The trace is in the backend, complete and equal to what was sent."""
    compare = zipkin_model.assert_same if backend.name == "zipkin" else model.assert_same

    def same():
        compare(sent.spans, backend.trace(sent.trace_id), f"{backend.name}, trace of '{sent.label}'")
        return True

    until(same, f"{backend.name} has the trace of '{sent.label}' whole", timeout)


def is_absent(backend, sent):
    got = backend.trace(sent.trace_id)
    assert not got, f"{backend.name} has {len(got)} spans of the trace of '{sent.label}', which had to be dropped"


def exported(agent, exporter, spans, timeout=30):
    """The exporter has sent exactly this many spans, and nothing waits in its queue."""
    until(lambda: agent.metric("otelcol_exporter_sent_spans", exporter=exporter) == spans
          and not agent.metric("otelcol_exporter_queue_size", exporter=exporter),
          f"{exporter} has sent {spans} spans", timeout)


def decided(agent, traces, timeout=30):
    """The sampler has taken its decision on this many traces."""
    until(lambda: agent.metric("otelcol_processor_tail_sampling_global_count_traces_sampled") == traces,
          f"{traces} traces are decided", timeout)
