"""One backend dies in the middle of the load: the others miss nothing meanwhile, and it gets its backlog when it is back."""

import threading

import pytest

from harness import checks
from harness.wait import until


class _Load:
    """Emits kept tasks from a thread of its own until stopped, at a steady rate."""

    def __init__(self, sdk):
        self._sdk, self._stop = sdk, threading.Event()
        self.sent = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(0.05):  # the pace of the load, not a wait for anything
            self.sent.append(self._sdk.task(priority="critical"))

    def stop(self):
        self._stop.set()
        self._thread.join()
        self._sdk.flush()

    def wait_for(self, count):
        until(lambda: len(self.sent) >= count, f"{count} tasks are emitted")


@pytest.mark.timeout(240)
def test_zipkin_killed_under_load(start_agent, three_exporters, emitter, jaeger, zipkin, tempo):
    agent = start_agent(three_exporters)
    load = _Load(emitter(agent, "grpc"))
    load.wait_for(10)
    checks.arrives_whole(zipkin, load.sent[0])

    zipkin.stop()
    # What Zipkin had in memory is gone with it, and so may be what was under way: only what is emitted from here on counts.
    down_from = len(load.sent) + 1
    load.wait_for(down_from + 20)
    during = load.sent[down_from:down_from + 20]
    for one in during:
        checks.arrives_whole(jaeger, one, timeout=10)
        checks.arrives_whole(tempo, one, timeout=10)
    until(lambda: agent.metric("otelcol_exporter_queue_size", exporter="zipkin"), "Zipkin's share waits in its queue")

    zipkin.start()
    zipkin.wait_ready()
    load.wait_for(len(load.sent) + 5)
    load.stop()

    for one in load.sent:
        checks.arrives_whole(jaeger, one)
        checks.arrives_whole(tempo, one)
    for one in load.sent[down_from:]:
        checks.arrives_whole(zipkin, one, timeout=60)
    assert not agent.metric("otelcol_exporter_send_failed_spans"), "no exporter gave anything up"
