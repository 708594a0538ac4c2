//! What came out is what went in: resource, scope and span, field by field.

use std::collections::BTreeMap;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use prost::Message;

use crate::corpus::span_number;

/// Spans by number, each as its resource, scope and itself encoded anew.
type Spans = BTreeMap<usize, Vec<Vec<u8>>>;

/// Compares the spans that both sent; schema URLs aside, which the collector's processor loses.
///
/// # Errors
/// When a request cannot be read.
pub fn difference(theirs: &[Bytes], ours: &[Bytes]) -> Result<Option<String>, String> {
    let (theirs, ours) = (spans(theirs)?, spans(ours)?);
    let differs =
        |(number, spans): &(&usize, &Vec<Vec<u8>>)| theirs.get(number).is_some_and(|theirs| theirs != *spans);
    let wrong: Vec<usize> = ours.iter().filter(differs).map(|(number, _)| *number).collect();
    let first = &wrong[..wrong.len().min(5)];
    Ok((!wrong.is_empty()).then(|| format!("the content of {} spans differs, as of {first:?}", wrong.len())))
}

/// The collector always writes a status, even one that says nothing.
fn normal(span: &Span) -> Span {
    Span { status: span.status.clone().filter(|status| *status != Status::default()), ..span.clone() }
}

fn spans(requests: &[Bytes]) -> Result<Spans, String> {
    let mut all = Spans::new();
    for request in requests {
        let request =
            ExportTraceServiceRequest::decode(request.clone()).map_err(|error| error.to_string())?;
        for resource_spans in &request.resource_spans {
            let resource = resource_spans.resource.as_ref().map(Message::encode_to_vec).unwrap_or_default();
            for scope_spans in &resource_spans.scope_spans {
                let mut scope = scope_spans.scope.clone().unwrap_or_default();
                // What the processor adds has no order.
                scope.attributes.sort_by(|a, b| a.key.cmp(&b.key));
                let scope = scope.encode_to_vec();
                for span in &scope_spans.spans {
                    let number = span_number(span)?;
                    let whole = [&resource[..], b"/", &scope, b"/", &normal(span).encode_to_vec()].concat();
                    all.entry(number).or_default().push(whole);
                }
            }
        }
    }
    for copies in all.values_mut() {
        copies.sort_unstable();
    }
    Ok(all)
}
