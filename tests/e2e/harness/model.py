"""One comparable form of a span, whatever it was read from: an SDK object, OTLP/JSON, a backend's answer.

A span is a dict; a trace is a dict of spans by span id (hex). Attribute values keep their type: (type name, value).
"""

import base64
import re

KINDS = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]
STATUSES = ["UNSET", "OK", "ERROR"]

# Jaeger notes on some spans what it had to adjust; none of it was sent.
_ADDED_BY_BACKENDS = re.compile(r"^@jaeger@")


def typed(value):
    """An attribute value of Python as (type, value): True and 1 and 1.0 are three different things."""
    if isinstance(value, (list, tuple)):
        return "array", tuple(typed(item) for item in value)
    return type(value).__name__, value


def attributes(mapping):
    return {key: typed(value) for key, value in (mapping or {}).items()}


def from_sdk(span):
    """The expectation: what the SDK was told to record."""
    scope = span.instrumentation_scope
    return {
        "trace_id": f"{span.context.trace_id:032x}",
        "span_id": f"{span.context.span_id:016x}",
        "parent": f"{span.parent.span_id:016x}" if span.parent else "",
        "trace_state": span.context.trace_state.to_header(),
        "name": span.name,
        "kind": span.kind.name,
        "start": span.start_time,
        "end": span.end_time,
        "attributes": attributes(span.attributes),
        "events": [(e.name, e.timestamp, attributes(e.attributes)) for e in span.events],
        "links": [
            # The Python SDK's exporter does not send a link's tracestate.
            (f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}", "", attributes(link.attributes))
            for link in span.links
        ],
        "status": (span.status.status_code.name, span.status.description or ""),
        "resource": attributes(span.resource.attributes),
        "scope": (scope.name, scope.version or "", attributes(scope.attributes)),
    }


def from_otlp_json(resource_spans):
    """{trace id: {span id: span}} of OTLP in JSON: ids hex or base64, enums numbers or names, as the backends differ."""
    traces = {}
    for rs in resource_spans:
        resource = _keyvalues(rs.get("resource", {}).get("attributes"))
        for ss in rs.get("scopeSpans", []):
            scope = ss.get("scope", {})
            scope = (scope.get("name", ""), scope.get("version", ""), _keyvalues(scope.get("attributes")))
            for span in ss.get("spans", []):
                one = _span(span, resource, scope)
                spans = traces.setdefault(one["trace_id"], {})
                assert one["span_id"] not in spans, f"span {one['span_id']} is there twice"
                spans[one["span_id"]] = one
    return traces


def _span(span, resource, scope):
    status = span.get("status", {})
    return {
        "trace_id": _hex(span["traceId"], 16),
        "span_id": _hex(span["spanId"], 8),
        "parent": _hex(span.get("parentSpanId", ""), 8),
        "trace_state": span.get("traceState", ""),
        "name": span.get("name", ""),
        "kind": _enum(span.get("kind", 0), "SPAN_KIND_", KINDS),
        "start": int(span.get("startTimeUnixNano", 0)),
        "end": int(span.get("endTimeUnixNano", 0)),
        "attributes": _keyvalues(span.get("attributes")),
        "events": [
            (e.get("name", ""), int(e.get("timeUnixNano", 0)), _keyvalues(e.get("attributes"))) for e in span.get("events", [])
        ],
        "links": [
            (_hex(link["traceId"], 16), _hex(link["spanId"], 8), link.get("traceState", ""), _keyvalues(link.get("attributes")))
            for link in span.get("links", [])
        ],
        "status": (_enum(status.get("code", 0), "STATUS_CODE_", STATUSES), status.get("message", "")),
        "resource": resource,
        "scope": scope,
    }


def _hex(text, size):
    if len(text) in (0, 2 * size):
        return text.lower()
    return base64.b64decode(text).hex()


def _enum(value, prefix, names):
    return names[value] if isinstance(value, int) else value.removeprefix(prefix)


def _keyvalues(pairs):
    return {p["key"]: _value(p.get("value", {})) for p in pairs or [] if not _ADDED_BY_BACKENDS.match(p["key"])}


def _value(any_value):
    for kind, value in any_value.items():
        match kind:
            case "stringValue":
                return "str", value
            case "boolValue":
                return "bool", value
            case "intValue":
                return "int", int(value)
            case "doubleValue":
                return "float", float(value)
            case "bytesValue":
                return "bytes", base64.b64decode(value)
            case "arrayValue":
                return "array", tuple(_value(item) for item in value.get("values", []))
            case "kvlistValue":
                return "map", {p["key"]: _value(p.get("value", {})) for p in value.get("values", [])}
    return "NoneType", None


def assert_same(sent, got, where):
    """`got` (span id -> span, of one trace) is what was sent: nothing missing, nothing more, every field equal."""
    missing, extra = sent.keys() - got.keys(), got.keys() - sent.keys()
    names = [sent[i]["name"] for i in missing]
    assert not missing and not extra, f"{where}: {len(missing)} of {len(sent)} spans missing {names}, {len(extra)} more than sent"
    for span_id, span in sent.items():
        for field, value in span.items():
            assert got[span_id][field] == value, (
                f"{where}: {field} of span '{span['name']}' is {got[span_id][field]!r}, was sent as {value!r}"
            )
