"""What Zipkin must show for a span, by OpenTelemetry's "OpenTelemetry to Zipkin transformation"."""

import json

# Zipkin itself shows names of spans and services in lower case.
_REMOTE_NAMES = ("peer.service", "server.address", "net.peer.name")


def _plain(value):
    kind, inner = value
    return [_plain(item) for item in inner] if kind == "array" else inner


def _tag(value):
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain, separators=(",", ":"))


def _as_tag(text):
    """A tag's text in one spelling: JSON lists without their optional spaces."""
    if text.startswith("["):
        return json.dumps(json.loads(text), separators=(",", ":"))
    return text


def assert_same(sent, got, where="zipkin"):
    """`got` (span id -> Zipkin v2 span, of one trace) is what `sent` (span id -> span) maps to."""
    missing, extra = sent.keys() - got.keys(), got.keys() - sent.keys()
    names = [sent[i]["name"] for i in missing]
    assert not missing and not extra, f"{where}: {len(missing)} of {len(sent)} spans missing {names}, {len(extra)} more than sent"
    for span_id, span in sent.items():
        try:
            _assert_span(span, got[span_id])
        except AssertionError as difference:
            raise AssertionError(f"{where}: span '{span['name']}': {difference}\nsent: {span}\ngot: {got[span_id]}") from None


def _assert_span(span, got):
    assert got["traceId"] == span["trace_id"]
    assert got.get("parentId", "") == span["parent"]
    assert got["name"] == span["name"].lower()
    # Zipkin has no internal kind: such a span is one without a kind.
    assert got.get("kind", "INTERNAL") == span["kind"], "kind"
    # Whole microseconds, cut off and not rounded.
    assert got["timestamp"] == span["start"] // 1000, "timestamp (µs)"
    assert abs(got["duration"] * 1000 - (span["end"] - span["start"])) <= 1000, "duration (µs)"
    assert got["localEndpoint"]["serviceName"] == span["resource"]["service.name"][1].lower(), "local endpoint"

    tags = got.get("tags", {})
    for key, value in span["attributes"].items():
        assert _as_tag(tags[key]) == _tag(value), f"tag {key}"
    assert tags["otel.scope.name"] == span["scope"][0]
    assert tags["otel.scope.version"] == span["scope"][1]
    code, message = span["status"]
    assert tags.get("otel.status_code") == (None if code == "UNSET" else code)
    assert tags.get("error") == (message if code == "ERROR" else None), "error tag"

    if span["kind"] in ("CLIENT", "PRODUCER"):
        remote = next((span["attributes"][key][1] for key in _REMOTE_NAMES if key in span["attributes"]), None)
        assert got.get("remoteEndpoint", {}).get("serviceName") == remote, "remote endpoint"

    _assert_annotations(span["events"], got.get("annotations", []))
    # Zipkin has no links: the sender may put them in tags, and must not lose which span was meant.
    for trace_id, linked, *_ in span["links"]:
        assert any(trace_id in tag and linked in tag for tag in tags.values()), "link as a tag"


def _assert_annotations(events, annotations):
    assert len(annotations) == len(events), "annotations"
    for (name, nanos, attributes), shown in zip(sorted(events, key=lambda e: e[1]), sorted(annotations, key=lambda a: a["timestamp"])):
        assert shown["timestamp"] == nanos // 1000, "annotation's timestamp (µs)"
        text = shown["value"]
        if not attributes:
            assert text == name, "annotation's value"
            continue
        assert text.strip('"').startswith(name), f"annotation of event {name}: {text}"
        carried = json.loads(text[text.index("{"):text.rindex("}") + 1])
        carried = carried.get(name, carried)
        assert carried == {key: _plain(value) for key, value in attributes.items()}, f"attributes of event {name}"
