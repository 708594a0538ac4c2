//! Conditions and what they say about the span of the fixture.

use super::fixture::{about_events, about_span, request, scope, span};
use crate::{AttributeOwner, Condition, ContextKind};

fn all(expected: bool, conditions: &[&str]) {
    for condition in conditions {
        assert_eq!(about_span(condition), Ok(expected), "{condition}");
    }
}

#[test]
fn paths() {
    all(
        true,
        &[
            r#"attributes["http.method"] == "GET""#,
            r#"span.attributes["http.status_code"] >= 500"#,
            r#"attributes["http.status_code"] == 503.0"#,
            r#"attributes["missing"] == nil"#,
            r#"attributes["unset"] == nil"#,
            r#"attributes["empty"] != nil and attributes["empty"] == """#,
            r#"attributes["tags"][1] == "b""#,
            r#"attributes["user"]["roles"][1]["deep"] == 7"#,
            r#"attributes["user"]["nobody"]["at all"] == nil"#,
            r#"attributes[attributes["the.key"]] == "GET""#,
            r#"attributes["tags"][1 + 1] == 3"#,
            r#"attributes["blob"] == 0x00ff"#,
            r#"resource.attributes["service.name"] == "checkout""#,
            r#"scope.attributes["lib"] == "core" and instrumentation_scope.attributes["lib"] == "core""#,
            r#"scope.name == "io.agents" and instrumentation_scope.version == "1.2.3""#,
            r#"scope.schema_url == "scope/schema" and resource.schema_url == "resource/schema""#,
            r#"name == "GET /api/v1/items" and span.name == name"#,
            r#"kind == SPAN_KIND_SERVER and kind.string == "Server" and kind.deprecated_string == "SPAN_KIND_SERVER""#,
            r#"status.code == STATUS_CODE_ERROR and status.code == 2 and status.message == "deadline exceeded""#,
            "start_time_unix_nano == 1700000000000000000 and end_time_unix_nano - start_time_unix_nano == 2500000000",
            r#"end_time - start_time > Duration("2s") and end_time - start_time == Duration("2.5s")"#,
            r#"trace_id.string == "101112131415161718191a1b1c1d1e1f" and span_id.string == "01020304050607ab""#,
            r#"parent_span_id.string == "0000000000000000" and parent_span_id == SpanID(0x0000000000000000)"#,
            r#"trace_state == "rojo=00f067aa0ba902b7,t61rcwkg@x=1" and trace_state["rojo"] == "00f067aa0ba902b7""#,
            r#"trace_state["t61rcwkg@x"] == "1" and trace_state["none"] == """#,
            "dropped_attributes_count == 3 and dropped_events_count == 4 and dropped_links_count == 5 and flags == 257",
            "resource.dropped_attributes_count == 6 and scope.dropped_attributes_count == 1",
            "Len(events) == 2 and Len(span.links) == 0 and Len(attributes) == 11 and IsList(events)",
            "attributes == span.attributes and attributes != resource.attributes and IsMap(attributes)",
        ],
    );
}

#[test]
fn comparison_follows_the_types() {
    all(
        true,
        &[
            "1 < 2",
            "2 == 2.0",
            "1 < 1.5",
            "nil == nil",
            "nil <= nil",
            "nil >= nil",
            "true > false",
            "false <= false",
            r#""a" < "b""#,
            r#""Z" < "a""#,
            "0x01 < 0x0200",
            r#"1 != "1""#,
            r#"attributes["ratio"] < 1"#,
            r#"attributes["tags"] == ["a", "b", 3]"#,
            r#"attributes["tags"] != ["a", "b", 3.0]"#,
            r#"attributes["tags"] != ["a", "b"]"#,
            r#"trace_id == TraceID("101112131415161718191a1b1c1d1e1f")"#,
            "trace_id == TraceID(0x101112131415161718191a1b1c1d1e1f)",
            "trace_id != nil",
            r#"trace_id != SpanID("0102030405060708")"#,
            r#"Duration("1m") == Duration("60s")"#,
            r#"attributes["cached"] == true"#,
            r#"not attributes["cached"] == false"#,
        ],
    );
    all(
        false,
        &[
            "nil < nil",
            r#"1 == "1""#,
            r#"1 < "1""#,
            r#"1 > "1""#,
            "nil < 1",
            "nil >= 1",
            "0 == nil",
            "false == nil",
            r#"kind == "Server""#,
            r#"attributes["tags"] < attributes["user"]"#,
            "attributes <= attributes",
            r#"attributes["missing"] > 0"#,
            r#"attributes["missing"] < 0"#,
            r#"status.code != STATUS_CODE_ERROR"#,
            "events == links",
        ],
    );
}

#[test]
fn precedence() {
    all(
        true,
        &[
            "true or false and false",
            "not false and true",
            "not (true and false)",
            "(true or false) and true",
            "false or (false or true)",
            "1 + 2 * 3 == 7",
            "(1 + 2) * 3 == 9",
            "7 - 2 - 1 == 4",
            "8 / 4 / 2 == 1",
            "7 / 2 == 3",
            "-7 / 2 == -3",
            "7.0 / 2 == 3.5",
            "-(1 + 2) == -3",
            "2 - -1 == 3",
            "+1 == 1",
            "((1)) == 1",
            "(1 + 1) == 2 and ((2 > 1))",
            "9223372036854775807 + 1 == -9223372036854775807 - 1",
            "1 == 1 and\n\t2 == 2",
            ".5 == 0.5 and 1. == 1 and 1.5e3 == 1500",
            r#"(Int("5")) == 5 and (IsMatch(name, "^GET"))"#,
            r#"end_time - Duration("1s") > start_time + Duration("1s")"#,
        ],
    );
    all(false, &["not true or false", "false and (true or true)", "not (1 == 1)"]);
}

#[test]
fn converters() {
    all(
        true,
        &[
            r#"IsMatch(name, "^GET /api/v\\d+/")"#,
            r#"IsMatch(attributes["http.status_code"], "^5..$")"#,
            r#"IsMatch(attributes["cached"], "true")"#,
            r#"IsMatch(attributes["ratio"], "^0\\.25$")"#,
            r#"not IsMatch(attributes["missing"], ".*")"#,
            r#"IsMatch(attributes["tags"], "\"b\"")"#,
            r#"IsMatch(target=name, pattern="items")"#,
            r#"IsString(name) and not IsString(attributes["cached"]) and not IsString(attributes["missing"])"#,
            r#"IsInt(attributes["http.status_code"]) and not IsInt(attributes["number.text"])"#,
            r#"IsDouble(attributes["ratio"]) and IsBool(attributes["cached"])"#,
            r#"IsMap(attributes["user"]) and IsList(attributes["tags"]) and not IsList(attributes["user"])"#,
            r#"Int(attributes["number.text"]) == 42 and Int("x") == nil and Int(1.9) == 1 and Int(true) == 1"#,
            r#"Int(attributes["missing"]) == nil"#,
            r#"Double("1e3") == 1000 and Double(attributes["http.status_code"]) == 503.0 and Double(nil) == nil"#,
            r#"String(attributes["http.status_code"]) == "503" and String(nil) == nil and String(0x0aff) == "0aff""#,
            r#"String(1.0) == "1" and String(1.5e21) == "1.5e+21" and String(0.00000025) == "2.5e-07""#,
            r#"String(attributes["tags"]) == "[\"a\",\"b\",3]""#,
            r#"String(attributes["user"]["name"]) == "Zoë <z@x>""#,
            r#"IsMatch(attributes["user"], "\\\\u003cz@x\\\\u003e")"#,
            r#"Concat([name, attributes["http.status_code"], nil], "-") == "GET /api/v1/items-503-<nil>""#,
            r#"Concat(["a", "b"], "") == "ab" and Concat([], ",") == """#,
            r#"Len(name) == 17 and Len(attributes["tags"]) == 3 and Len(attributes["user"]) == 2 and Len("ë") == 2"#,
            r#"HasPrefix(name, "GET ") and HasSuffix(name, "items") and not HasPrefix(name, "get")"#,
            r#"ToLowerCase(attributes["http.method"]) == "get" and ToUpperCase("straße") == "STRAßE""#,
            r#"Substring(name, 0, 3) == "GET" and Substring("naïve", 0, 3, true) == "na""#,
            r#"Substring("ab", 0, 2, utf8_safe=true) == "ab""#,
            "IsRootSpan()",
            r#"Milliseconds(end_time - start_time) == 2500 and Seconds(end_time - start_time) == 2.5"#,
            r#"Hours(Duration("90m")) == 1.5 and Minutes(Duration("90s")) == 1.5"#,
            r#"Microseconds(Duration("1ms")) == 1000 and Nanoseconds(Duration("1us")) == 1000"#,
            r#"ContainsValue(attributes["tags"], "b") and ContainsValue(["GET", "PUT"], attributes["http.method"])"#,
            r#"not ContainsValue(attributes["tags"], "z")"#,
        ],
    );
}

#[test]
fn evaluation_errors_are_values() {
    let error = |condition: &str| about_span(condition).unwrap_err();
    assert!(error(r#"HasPrefix(attributes["missing"], "x")"#).contains("HasPrefix takes a string, not nil"));
    assert!(
        error(r#"name == "x" or Len(kind) == 1"#).starts_with("at offset 15 of the condition: Len takes")
    );
    assert!(error("1 / (dropped_links_count - 5) == 1").contains("division by zero"));
    assert!(error("1.5 / Len(links) == 1").contains("division by zero"));
    assert!(error(r#"attributes["tags"][9] == 1"#).contains("outside of the list"));
    assert!(error(r#"attributes["tags"]["x"] == 1"#).contains("not a list"));
    assert!(error(r#"attributes["http.method"]["x"] == 1"#).contains("not a string"));
    assert!(error(r#"name + 1 == 1"#).contains("+ takes numbers, or times and durations, not a string"));
    assert!(error(r#"start_time * start_time == 1"#).contains("* takes"));
    assert!(error(r#"Duration(name) == Duration("1s")"#).contains("not a duration"));
    assert!(error(r#"Double(name) == 1"#).contains("not a number"));
    assert!(error(r#"Substring("naïve", 0, Len(attributes["tags"])) == """#).contains("whole characters"));
    assert!(error(r#"TraceID(name) == trace_id"#).contains("32 hexadecimal digits"));
    // Before the error the answer is settled; after it, it is not.
    assert_eq!(about_span(r#"IsRootSpan() or HasPrefix(attributes["missing"], "x")"#), Ok(true));
    assert_eq!(about_span(r#"not IsRootSpan() and HasPrefix(attributes["missing"], "x")"#), Ok(false));
    assert!(about_span(r#"HasPrefix(attributes["missing"], "x") or IsRootSpan()"#).is_err());
    assert_eq!(about_span(r#"HasPrefix(attributes["missing"], "x") or true"#), Ok(true));
}

#[test]
fn events() {
    assert_eq!(about_events(r#"name == "exception""#), Ok(vec![true, false]));
    assert_eq!(
        about_events(r#"spanevent.name == "retry" and span.kind == SPAN_KIND_SERVER"#),
        Ok(vec![false, true])
    );
    assert_eq!(about_events(r#"attributes["attempt"] > 1"#), Ok(vec![false, true]));
    assert_eq!(
        about_events("time_unix_nano - span.start_time_unix_nano == 1000000000"),
        Ok(vec![true, true])
    );
    assert_eq!(
        about_events("time > span.start_time and dropped_attributes_count == 2"),
        Ok(vec![true, true])
    );
    assert_eq!(
        about_events(r#"resource.attributes["replicas"] == 3 and Len(attributes) == 1"#),
        Ok(vec![true, true])
    );
    let condition = Condition::compile("name == \"x\"", ContextKind::SpanEvent).unwrap();
    let error = condition.matches(&scope(&request(span()))).unwrap_err();
    assert!(error.to_string().contains("no event was given"), "{error}");
}

#[test]
fn broken_trace_states_have_no_keys() {
    for (state, expected) in [
        ("a=1,b=2", "trace_state[\"b\"] == \"2\""),
        (" a=1 , b= 2 ", "trace_state[\"b\"] == \" 2\""),
        ("a=1,a=2", "trace_state[\"a\"] == nil"),
        ("A=1", "trace_state[\"A\"] == nil"),
        ("a", "trace_state[\"a\"] == nil"),
        ("a=", "trace_state[\"a\"] == nil"),
        ("", "trace_state[\"a\"] == \"\""),
        (",,a=1", "trace_state[\"a\"] == \"1\""),
    ] {
        let mut span = span();
        span.trace_state = state.to_owned();
        let condition = Condition::compile(expected, ContextKind::Span).unwrap();
        assert_eq!(condition.matches(&scope(&request(span))), Ok(true), "{state}");
    }
}

#[test]
fn facts() {
    let text =
        r#"attributes["a"] == resource.attributes["b"] or IsMatch(attributes["c"][attributes["d"]], "x")"#;
    let condition = Condition::compile(text, ContextKind::Span).unwrap();
    let expected = [
        (AttributeOwner::Span, "a"),
        (AttributeOwner::Resource, "b"),
        (AttributeOwner::Span, "c"),
        (AttributeOwner::Span, "d"),
    ];
    assert_eq!(condition.attribute_keys(), expected);
    assert_eq!(
        (condition.text(), condition.context(), condition.constant()),
        (text, ContextKind::Span, None)
    );
    let constant = Condition::compile("1 > 2 or ToLowerCase(\"A\") == \"a\"", ContextKind::Span).unwrap();
    assert_eq!(constant.constant(), Some(true));
}
