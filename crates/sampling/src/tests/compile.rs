//! What configurations are refused, and where the error points.

use super::support::policies;
use crate::compile;

/// Path and message of every error.
fn errors(json: &str) -> Vec<(String, String)> {
    match compile(&policies(json)) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.into_iter().map(|error| (error.path.join("."), error.message)).collect(),
    }
}

#[track_caller]
fn refused(json: &str, path: &str, message: &str) {
    let errors = errors(json);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].0, path, "{errors:?}");
    assert!(errors[0].1.contains(message), "{errors:?}");
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    refused("[]", "", "the list is empty");
    refused(r#"[{"type": "always_sample"}]"#, "0.name", "needs a name");
    refused(
        r#"[{"name": "a", "type": "always_sample"}, {"name": "a", "type": "always_sample"}]"#,
        "1.name",
        "duplicate policy name \"a\"",
    );
    refused(r#"[{"name": "a"}]"#, "0.type", "needs a type; supported: always_sample, latency");
    refused(
        r#"[{"name": "a", "type": "sometimes"}]"#,
        "0.type",
        "unknown policy type \"sometimes\"; supported:",
    );
    refused(
        r#"[{"name": "a", "type": "extension"}]"#,
        "0.type",
        "policy type \"extension\" is not supported here; supported:",
    );
    refused(r#"[{"name": "a", "type": "string_attribute"}]"#, "0.string_attribute", "is missing");
    refused(
        r#"[{"name": "a", "type": "always_sample", "latency": {"threshold_ms": 5}}]"#,
        "0.latency",
        "does not belong to a policy of type \"always_sample\"",
    );
    refused(
        r#"[{"name": "a", "type": "string_attribute", "string_attribute": {"key": "k", "values": []}}]"#,
        "0.string_attribute.values",
        "no value",
    );
    refused(
        r#"[{"name": "a", "type": "string_attribute", "string_attribute": {"values": ["x"]}}]"#,
        "0.string_attribute.key",
        "is missing",
    );
    refused(
        r#"[{"name": "a", "type": "string_attribute",
            "string_attribute": {"key": "k", "values": ["ok", "(a"], "enabled_regex_matching": true}}]"#,
        "0.string_attribute.values.1",
        "invalid regular expression `(a`",
    );
    refused(
        r#"[{"name": "a", "type": "status_code", "status_code": {"status_codes": ["ERROR", "BAD"]}}]"#,
        "0.status_code.status_codes.1",
        "unknown status code \"BAD\", supported: OK, ERROR, UNSET",
    );
    refused(
        r#"[{"name": "a", "type": "status_code", "status_code": {"status_codes": []}}]"#,
        "0.status_code.status_codes",
        "the list is empty",
    );
    refused(
        r#"[{"name": "a", "type": "numeric_attribute",
            "numeric_attribute": {"key": "k", "min_value": 5, "max_value": 4}}]"#,
        "0.numeric_attribute.max_value",
        "is below min_value",
    );
    refused(r#"[{"name": "a", "type": "and"}]"#, "0.and", "is missing");
    refused(
        r#"[{"name": "a", "type": "and", "and": {"and_sub_policy": []}}]"#,
        "0.and.and_sub_policy",
        "the list is empty",
    );
    refused(
        r#"[{"name": "a", "type": "drop", "drop": {"drop_sub_policy": []}}]"#,
        "0.drop.drop_sub_policy",
        "the list is empty",
    );
    refused(
        r#"[{"name": "a", "type": "drop", "drop": {"drop_sub_policy": [{"type": "always_sample"}, {"type": "drop"}]}}]"#,
        "0.drop.drop_sub_policy.1.type",
        "policy type \"drop\" is not supported here",
    );
}

#[test]
fn errors_in_conditions_are_located() {
    let condition =
        |keys: &str| format!(r#"[{{"name": "a", "type": "ottl_condition", "ottl_condition": {{{keys}}}}}]"#);
    refused(r#"[{"name": "a", "type": "ottl_condition"}]"#, "0.ottl_condition", "is missing");
    refused(&condition(""), "0.ottl_condition", "has no condition");
    refused(
        &condition(r#""span": ["true"], "error_mode": "loud""#),
        "0.ottl_condition.error_mode",
        "unknown error mode \"loud\"; supported: ignore, silent, propagate",
    );
    refused(
        &condition(r#""span": ["true", "nam == 1"]"#),
        "0.ottl_condition.span.1",
        "invalid condition: line 1, column 1: there is no path `nam` in the span context; did you mean `name`?",
    );
    refused(
        &condition(r#""spanevent": ["name ==\n ("]"#),
        "0.ottl_condition.spanevent.0",
        "invalid condition: line 2, column 3: ",
    );
    assert!(errors(&condition(r#""span": ["true"], "error_mode": "IGNORE""#)).is_empty());
}

#[test]
fn errors_in_counts_states_and_nested_policies_are_located() {
    let count = |keys: &str| format!(r#"[{{"name": "a", "type": "span_count", "span_count": {{{keys}}}}}]"#);
    refused(&count(r#""max_spans": -1"#), "0.span_count.max_spans", "is negative");
    refused(&count(r#""min_spans": 5, "max_spans": 4"#), "0.span_count.max_spans", "is below min_spans");
    refused(r#"[{"name": "a", "type": "span_count"}]"#, "0.span_count", "is missing");
    let state =
        |keys: &str| format!(r#"[{{"name": "a", "type": "trace_state", "trace_state": {{{keys}}}}}]"#);
    refused(&state(r#""values": ["x"]"#), "0.trace_state.key", "is missing");
    refused(&state(r#""key": "K", "values": ["x"]"#), "0.trace_state.key", "no key of a W3C trace state");
    refused(&state(r#""key": "k", "values": [""]"#), "0.trace_state.values", "no value that could match");
    refused(r#"[{"name": "a", "type": "not"}]"#, "0.not", "is missing");
    refused(r#"[{"name": "a", "type": "not", "not": {}}]"#, "0.not.not_sub_policy", "is missing");
    refused(
        r#"[{"name": "a", "type": "not", "not": {"not_sub_policy": {"type": "drop"}}}]"#,
        "0.not.not_sub_policy.type",
        "policy type \"drop\" is not supported here",
    );
    refused(
        r#"[{"name": "a", "type": "and", "and": {"and_sub_policy": [{"type": "not", "not": {"not_sub_policy":
            {"type": "and", "and": {"and_sub_policy": []}}}}]}}]"#,
        "0.and.and_sub_policy.0.not.not_sub_policy.and.and_sub_policy",
        "the list is empty",
    );
    for (kind, key) in [("rate_limiting", "spans_per_second"), ("bytes_limiting", "bytes_per_second")] {
        refused(&format!(r#"[{{"name": "a", "type": "{kind}"}}]"#), &format!("0.{kind}"), "is missing");
        let none = format!(r#"[{{"name": "a", "type": "{kind}", "{kind}": {{"burst_capacity": 5}}}}]"#);
        refused(&none, &format!("0.{kind}.{key}"), "must be at least 1");
    }
    refused(
        r#"[{"name": "a", "type": "trace_flags", "span_count": {}}]"#,
        "0.span_count",
        "does not belong to a policy of type \"trace_flags\"",
    );
}

#[test]
fn errors_in_composites_are_located() {
    let composite = |keys: &str| {
        format!(
            r#"[{{"name": "c", "type": "composite", "composite": {{"max_total_spans_per_second": 10{keys}}}}}]"#
        )
    };
    let parts = r#", "composite_sub_policy": [{"name": "a", "type": "always_sample"}]"#;
    refused(r#"[{"name": "c", "type": "composite"}]"#, "0.composite", "is missing");
    refused(
        r#"[{"name": "c", "type": "composite", "composite": {
            "composite_sub_policy": [{"name": "a", "type": "always_sample"}]}}]"#,
        "0.composite.max_total_spans_per_second",
        "must be at least 1",
    );
    refused(&composite(""), "0.composite.composite_sub_policy", "the list is empty");
    refused(
        &composite(&format!(r#"{parts}, "policy_order": ["a", "b"]"#)),
        "0.composite.policy_order.1",
        "unknown policy \"b\"; in composite_sub_policy: a",
    );
    refused(
        &composite(&format!(r#"{parts}, "policy_order": ["a", "a"]"#)),
        "0.composite.policy_order.1",
        "stands here twice",
    );
    refused(
        &composite(&format!(r#"{parts}, "rate_allocation": [{{"policy": "x", "percent": 5}}]"#)),
        "0.composite.rate_allocation.0.policy",
        "unknown policy \"x\"",
    );
    let sub = |policy: &str| composite(&format!(r#", "composite_sub_policy": [{policy}]"#));
    let at = |key: &str| format!("0.composite.composite_sub_policy.{key}");
    refused(&sub(r#"{"type": "always_sample"}"#), &at("0.name"), "needs a name");
    refused(
        &sub(r#"{"name": "a", "type": "always_sample"}, {"name": "a", "type": "trace_flags"}"#),
        &at("1.name"),
        "duplicate policy name",
    );
    refused(
        &sub(r#"{"name": "a", "type": "composite"}"#),
        &at("0.type"),
        "policy type \"composite\" is not supported here",
    );
}

#[test]
fn a_percentage_must_be_finite() {
    let mut config = policies(r#"[{"name": "a", "type": "probabilistic", "probabilistic": {}}]"#);
    assert!(compile(&config).is_ok());
    config[0].probabilistic.as_mut().unwrap().sampling_percentage = f64::NAN;
    let errors = compile(&config).unwrap_err();
    assert_eq!(errors[0].path, ["0", "probabilistic", "sampling_percentage"]);
    assert!(errors[0].to_string().starts_with("policies::0::probabilistic::sampling_percentage: "));
}

#[test]
fn all_errors_are_reported_at_once() {
    let all =
        errors(r#"[{"type": "nope"}, {"name": "b", "type": "latency", "and": {"and_sub_policy": []}}]"#);
    let paths: Vec<&str> = all.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["0.name", "0.type", "1.and"]);
}

#[test]
fn unknown_keys_are_errors() {
    for json in [
        r#"[{"name": "a", "type": "latency", "latency": {"threshold": 5}}]"#,
        r#"[{"name": "a", "type": "latency", "latencies": {}}]"#,
    ] {
        assert!(serde_json::from_str::<Vec<crate::PolicyConfig>>(json).is_err(), "{json}");
    }
}

#[test]
fn drop_policies_are_evaluated_first() {
    let set = compile(&policies(
        r#"[{"name": "a", "type": "always_sample"}, {"name": "b", "type": "always_sample"},
            {"name": "c", "type": "drop", "drop": {"drop_sub_policy": [{"type": "always_sample"}]}}]"#,
    ));
    let names: Vec<String> = set.unwrap().names().map(ToString::to_string).collect();
    assert_eq!(names, ["c", "a", "b"]);
}

#[test]
fn go_patterns_keep_their_meaning() {
    let matches = |pattern: &str, text: &str| {
        let translated = forebay_ottl::re2::translate(pattern).unwrap();
        regex::bytes::Regex::new(&translated).unwrap().is_match(text.as_bytes())
    };
    for (pattern, text, expected) in [
        (r"^\d+$", "12", true),
        (r"^\d+$", "\u{0661}", false),
        (r"^\w$", "é", false),
        (r"^\W$", "é", true),
        (r"^[\w-]+$", "a-b", true),
        (r"^[^\s]+$", "a b", false),
        (r"^[\D]$", "x", true),
        (r"\bfoo\b", "a foo b", true),
        (r"\bfoo\b", "xfoo", false),
        (r"^.$", "é", true),
        ("^[[]$", "[", true),
        ("^[a&&b]+$", "&", true),
        ("^[]a]+$", "]a", true),
        ("^[^]a]+$", "]", false),
        ("^[[:alpha:]]+$", "abc", true),
        ("^[[:^alpha:]]+$", "abc", false),
        (r"^\Qa.b\E$", "a.b", true),
        (r"^\Qa.b\E$", "axb", false),
        (r"\Qa+", "a+", true),
        ("(?i)^ABC$", "abc", true),
        (r"^\x41\pL$", "Aé", true),
        (r"^\[x\]$", "[x]", true),
        (r"^[\]]$", "]", true),
        ("^a{2}$", "aa", true),
        ("^[a-c]+$", "abc", true),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
    }
    for pattern in ["a\\", r"\C", r"\B"] {
        assert!(forebay_ottl::re2::translate(pattern).is_err(), "{pattern}");
    }
}
