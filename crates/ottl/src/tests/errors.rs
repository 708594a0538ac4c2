//! What is refused, where, and what it says.

use crate::{Condition, ContextKind};

fn refused(text: &str, context: ContextKind) -> (usize, String) {
    let error = Condition::compile(text, context).expect_err(text);
    assert_eq!(error.line, text[..error.offset].matches('\n').count() + 1);
    (error.offset, error.to_string())
}

#[test]
fn errors_are_located_and_help() {
    let mut wrong = Vec::new();
    for (text, offset, part) in [
        ("", 0, "the condition is empty"),
        ("name", 0, "`name` is a value, not a condition"),
        ("name = \"x\"", 5, "write `==`"),
        ("name == 'x'", 8, "double quotes"),
        ("name == \"x", 8, "no closing quote"),
        (r#"IsMatch(name, "\d+")"#, 15, r"write \\ for a backslash"),
        (r#"name == "a" && kind == 1"#, 12, "write `and`"),
        (r#"name == "a" || kind == 1"#, 12, "write `or`"),
        (r#"!IsRootSpan()"#, 0, "write `not`"),
        ("not not true", 4, "two `not`"),
        ("1 < 2 < 3", 6, "cannot be chained"),
        ("(1 < 2", 6, "expected `)`"),
        ("(name == \"a\") == true", 0, "a condition cannot be used as a value"),
        ("1 + true == 2", 4, "a boolean cannot be calculated with"),
        (r#""a" + "b" == "ab""#, 0, "use Concat"),
        ("name == \"a\" name", 12, "expected `and`, `or` or the end, found `name`"),
        ("nam == \"a\"", 0, "did you mean `name`?"),
        ("span.nam == \"a\"", 0, "did you mean `span.name`?"),
        ("status.cod == 2", 0, "did you mean `status.code`?"),
        ("status == 2", 0, "write status.code"),
        ("http.method == \"GET\"", 0, "attributes[\"http.method\"]"),
        ("attributes.foo == 1", 0, "write attributes[\"foo\"]"),
        ("resource.attribute[\"a\"] == 1", 0, "did you mean `resource.attributes`?"),
        ("resources.attributes[\"a\"] == 1", 0, "did you mean `resource.attributes`?"),
        ("spanevent.name == \"x\"", 0, "cannot look at a span event"),
        ("name[\"x\"] == 1", 0, "`name` cannot be indexed"),
        ("span.status[\"x\"].code == 1", 5, "`status` cannot be indexed"),
        ("attributes[0] == 1", 0, "no order"),
        ("attributes[] == 1", 11, "takes a string or an integer"),
        ("attributes[true] == 1", 11, "takes a string or an integer"),
        ("attributes[\"a\"][-1] == 1", 16, "a number from 0 on"),
        ("trace_state[0] == 1", 0, "is a string"),
        ("kind == SPAN_KIND_SERVR", 8, "did you mean SPAN_KIND_SERVER?"),
        ("kind == FOO", 8, "there is no enum FOO"),
        ("IsMach(name, \"x\")", 0, "did you mean IsMatch?"),
        ("ismatch(name, \"x\")", 0, "begin with an uppercase letter"),
        ("Split(name, \"/\") == 1", 0, "Split is not supported; there are: Concat"),
        ("IsMatch(name)", 0, "lacks its argument pattern; write IsMatch(target, pattern)"),
        ("IsMatch(name, \"a\", 1)", 19, "too many arguments"),
        ("IsMatch(name, patern=\"a\")", 14, "has no parameter patern"),
        ("IsMatch(target=name, \"a\")", 21, "without a name after one with"),
        ("IsMatch(name, target=name)", 14, "given twice"),
        ("IsMatch(name, \"(\")", 14, "invalid pattern: unclosed group"),
        ("IsMatch(name, attributes[\"p\"])", 14, "a pattern written out"),
        ("HasPrefix(name, 5)", 16, "takes a string, not `5`"),
        ("Duration(\"5 s\") == 1", 0, "not a duration"),
        ("1 / 0 == 1", 0, "division by zero"),
        ("TraceID(\"abc\") == trace_id", 0, "32 hexadecimal digits"),
        ("Len(name)", 0, "does not give a boolean; compare it, as in Len(name) == ..."),
        ("set(name, \"x\")", 0, "editors change data"),
        ("true where true", 5, "unexpected `where`"),
        ("attributes == {}", 14, "map literals"),
        ("All(attributes, (x) => true)", 20, "lambdas"),
        ("0xabc == 0x00", 0, "two hexadecimal digits"),
        ("99999999999999999999 == 1", 0, "64-bit integer"),
        ("kind == 1 and\n  nme == \"é\"", 16, "did you mean `name`?"),
        ("Name == \"a\"", 0, "paths are in lower case"),
        ("attributes[\"a\"].b == 1", 0, "write attributes[\"b\"]"),
        ("cache[\"a\"] == 1", 0, "`cache` is not supported"),
    ] {
        let (at, message) = refused(text, ContextKind::Span);
        if !message.contains(part) || at != offset {
            wrong.push(format!("{text}: {message}"));
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn events_have_their_own_paths() {
    for (text, part) in [
        ("status.code == 2", "write `span.status.code`"),
        ("IsRootSpan()", "for conditions on spans"),
        ("nam == 1", "did you mean `name`?"),
        ("event_index == 1", "`event_index` is not supported"),
    ] {
        let (_, message) = refused(text, ContextKind::SpanEvent);
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn the_excerpt_points_at_the_place() {
    let text = "kind == 1 and\n  \"é\" == nme";
    let error = Condition::compile(text, ContextKind::Span).unwrap_err();
    assert_eq!((error.line, error.column), (2, 10));
    assert_eq!(error.excerpt(text), "  \"é\" == nme\n         ^");
    assert!(error.to_string().starts_with("line 2, column 10: there is no path `nme`"), "{error}");
}

#[test]
fn nesting_is_bounded() {
    for (open, close) in [("(", ")"), ("not (", ")"), ("Len(", ")"), ("[", "]"), ("attributes[", "]")] {
        let text = format!("{}1{} == 1", open.repeat(10_000), close.repeat(10_000));
        assert!(refused(&text, ContextKind::Span).1.contains("nested more than 48 deep"), "{open}");
    }
    let long = format!("1{} == 100001", " + 1".repeat(100_000));
    assert_eq!(Condition::compile(&long, ContextKind::Span).unwrap().constant(), Some(true));
    let long = format!("kind == 1{}", " or kind == 1".repeat(50_000));
    assert!(Condition::compile(&long, ContextKind::Span).is_ok());
    let huge = " ".repeat(1 << 21);
    assert!(refused(&huge, ContextKind::Span).1.contains("at most"));
}
