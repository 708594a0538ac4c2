//! What evaluation takes from the heap: nothing, for what conditions usually are.

use allocation_counter::measure;

use super::fixture::{request, scope, span};
use crate::{Condition, ContextKind};

fn allocations(text: &str) -> u64 {
    let condition = Condition::compile(text, ContextKind::Span).unwrap();
    let request = request(span());
    let scope = scope(&request);
    // A regex makes its scratch space when it is first used.
    let _ = condition.matches(&scope);
    measure(|| assert!(condition.matches(&scope).is_ok(), "{text}")).count_total
}

#[test]
fn usual_conditions_take_no_heap() {
    for text in [
        r#"attributes["http.method"] == "GET" and resource.attributes["service.name"] != "x""#,
        r#"attributes["user"]["roles"][1]["deep"] == 7 and attributes["missing"] == nil"#,
        r#"IsMatch(name, "^GET /api/v\\d+/") and IsMatch(attributes["http.status_code"], "^5..$")"#,
        r#"end_time - start_time > Duration("2s") and (end_time_unix_nano - start_time_unix_nano) / 1000000 > 5"#,
        r#"trace_id.string == "101112131415161718191a1b1c1d1e1f" and span_id == SpanID("0102030405060708") or kind == 2"#,
        r#"String(attributes["http.status_code"]) == "503" and String(attributes["ratio"]) == "0.25""#,
        r#"HasPrefix(ToLowerCase(name), "get ") and Substring(ToUpperCase(name), 0, 3) == "GET""#,
        r#"trace_state["rojo"] != nil and Len(attributes) > 3 and ContainsValue(["GET"], attributes["http.method"])"#,
        r#"Int(attributes["number.text"]) == 42 and status.code == STATUS_CODE_ERROR and scope.name == "io.agents""#,
        r#"attributes["tags"] != [] and IsMap(attributes) and attributes == attributes"#,
    ] {
        assert_eq!(allocations(text), 0, "{text}");
    }
}

#[test]
fn joining_texts_takes_the_heap() {
    assert!(allocations(r#"Concat([name, "x"], "-") == "y""#) > 0);
}
