"""A receiving end in the tests' own process: fast to start, takes OTLP over gRPC, shows what came."""

from . import model
from .tempo_double import TempoDouble


class Sink:
    """The double of Tempo with room for big messages, behind the face that the backends have."""

    name = "sink"
    _TENANT = "sink"

    def __init__(self):
        self._double = TempoDouble(grpc_limit=64 << 20)

    @property
    def exporters(self):
        """The agent's `exporters` that send here."""
        return {"otlp_grpc/sink": {
            "endpoint": f"127.0.0.1:{self._double.grpc_port}", "tls": {"insecure": True}, "headers": {"X-Scope-OrgID": self._TENANT}}}

    def trace(self, trace_id):
        return model.from_otlp_json(self._double.trace_json(self._TENANT, trace_id)["trace"].get("resourceSpans", [])).get(trace_id, {})

    def trace_ids(self):
        return self._double.trace_ids(self._TENANT)

    def close(self):
        self._double.close()
