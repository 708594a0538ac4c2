//! Any text as a condition, on the spans of any bytes: a text up to the first zero byte, then a request.
#![no_main]

use forebay_otlp::traces::TracesView;
use forebay_ottl::{Condition, ContextKind, SpanScope};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let Ok(text) = std::str::from_utf8(&data[..end]) else { return };
    let request = data.get(end + 1..).unwrap_or_default();
    for context in [ContextKind::Span, ContextKind::SpanEvent] {
        match Condition::compile(text, context) {
            Ok(condition) => evaluate(&condition, request),
            Err(error) => {
                assert!(text.is_char_boundary(error.offset));
                let _ = (error.excerpt(text), error.to_string());
            }
        }
    }
});

fn evaluate(condition: &Condition, request: &[u8]) {
    for resource_spans in TracesView::new(request).resource_spans() {
        for scope_spans in resource_spans.scope_spans() {
            for span in scope_spans.spans() {
                let scope = SpanScope::new(resource_spans, scope_spans, span);
                let answer = condition.matches(&scope);
                assert_eq!(answer, condition.matches(&scope));
                for event in span.events() {
                    let _ = condition.matches(&scope.with_event(event));
                }
            }
        }
    }
}
