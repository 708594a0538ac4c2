//! Which span and which value made a policy match: looked up when a verdict is reported, for kept traces
//! and those a drop policy matched, so that nothing is noted per span.

use std::sync::Arc;

use forebay_otlp::traces::SpanView;

use crate::contexts::Contexts;
use crate::decision::Evidence;
use crate::limits::Unit;
use crate::policy::{PolicySet, Term};
use crate::predicate::{MatchCache, Place, Predicate, is_sampled};
use crate::trace_state;
use crate::traces::Trace;
use crate::walk;

/// Longer names and values are cut in what is reported.
const MAX_TEXT: usize = 256;

/// The first term of the policy that something in the trace satisfied. `records` are the trace's spans by scope, the likeliest
/// first, `part` the last part of a `composite` policy that let the trace through.
pub(crate) fn find<'a>(
    policies: &PolicySet,
    policy: usize,
    part: Option<(usize, usize)>,
    trace: &Trace,
    records: impl Iterator<Item = (u32, &'a [u8])> + Clone,
    contexts: &Contexts,
    caches: &mut [MatchCache],
) -> Option<Evidence> {
    let search = Search { policies, part, trace, records, contexts, caches };
    search.among(&policies.policies.get(policy)?.terms)
}

/// What a search looks at.
struct Search<'s, R> {
    policies: &'s PolicySet,
    part: Option<(usize, usize)>,
    trace: &'s Trace,
    records: R,
    contexts: &'s Contexts,
    caches: &'s mut [MatchCache],
}

impl<'a, R: Iterator<Item = (u32, &'a [u8])> + Clone> Search<'_, R> {
    fn among(mut self, terms: &[Term]) -> Option<Evidence> {
        terms.iter().find_map(|term| self.term(term))
    }

    fn term(&mut self, term: &Term) -> Option<Evidence> {
        match *term {
            Term::Leaf { leaf, invert: false } | Term::Fallible { leaf, .. } => {
                find_leaf(self.policies, leaf, self.records.clone(), self.contexts, self.caches)
            }
            Term::Latency { .. } => {
                let millis = self.trace.facts.duration_nanos().unwrap_or(0) / 1_000_000;
                Some(whole_trace("duration", format!("{millis}ms")))
            }
            Term::Share(share) => {
                let percentage = self.policies.shares.get(share)?.percentage();
                Some(whole_trace("sampling_percentage", percentage.to_string()))
            }
            Term::SpanCount { .. } => Some(whole_trace("span_count", self.trace.spans.to_string())),
            Term::Limit(limit) => {
                let limit = self.policies.limits.get(limit)?;
                let key = if limit.unit == Unit::Spans { "spans_per_second" } else { "bytes_per_second" };
                Some(whole_trace(key, limit.per_second.to_string()))
            }
            Term::Composite(composite) => {
                let parts = &self.policies.composites.get(composite)?.parts;
                let trace = self.trace.candidate();
                let part = match self.part {
                    Some((last, part)) if last == composite => parts.get(part)?,
                    // The first that would keep the trace had kept it; limits within are not asked again.
                    _ => parts.iter().find(|part| self.policies.holds_unmetered(&part.term, trace))?,
                };
                self.term(&part.term)
            }
            Term::All(ref terms) => terms.iter().find_map(|term| self.term(term)),
            Term::Always | Term::Leaf { .. } | Term::Not(_) => None,
        }
    }
}

fn find_leaf<'a>(
    policies: &PolicySet,
    leaf: usize,
    records: impl Iterator<Item = (u32, &'a [u8])>,
    contexts: &Contexts,
    caches: &mut [MatchCache],
) -> Option<Evidence> {
    let predicates = &policies.predicates;
    let predicate = predicates.leaves.get(leaf)?;
    for (scope, spans) in records {
        let resource = contexts.resource_of(scope);
        if let Predicate::Attribute { key, .. } = predicate
            && contexts.facts(resource).matched.contains(leaf)
        {
            let name = Arc::clone(&predicates.keys.get(*key)?.name);
            let attributes = walk::resource_attributes(contexts.resource_header(resource));
            let value = walk::first_value(attributes, name.as_bytes())?;
            return Some(Evidence { span_id: None, key: name, value: shorten(value.to_string()) });
        }
        for span in crate::segments::spans(spans).map(SpanView::new) {
            let found = if let Predicate::Conditions(conditions) = predicate {
                let condition = conditions.first_match(&contexts.span_scope(scope, span), span);
                condition.map(|condition| ("ottl_condition".into(), shorten(condition.text().to_owned())))
            } else {
                on_span(policies, predicate, leaf, span, caches)
            };
            if let Some((key, value)) = found {
                return Some(Evidence { span_id: span.span_id().try_into().ok(), key, value });
            }
        }
    }
    None
}

fn on_span(
    policies: &PolicySet,
    predicate: &Predicate,
    leaf: usize,
    span: SpanView<'_>,
    caches: &mut [MatchCache],
) -> Option<(Arc<str>, String)> {
    match predicate {
        Predicate::Attribute { key, .. } => {
            let name = &policies.predicates.keys.get(*key)?.name;
            let value = walk::first_value(span.attributes(), name.as_bytes())?;
            let matched = policies.predicates.leaf_matches(leaf, value, Place::Span, caches);
            matched.then(|| (Arc::clone(name), shorten(value.to_string())))
        }
        Predicate::Status(codes) => {
            let code = span.status().code();
            let name = ["UNSET", "OK", "ERROR"].get(usize::try_from(code).ok()?)?;
            (codes & (1 << code) != 0).then(|| ("status.code".into(), (*name).to_owned()))
        }
        Predicate::SampledFlag => {
            is_sampled(span.flags()).then(|| ("trace_flags".into(), "sampled".to_owned()))
        }
        Predicate::TraceState(test) => {
            let value = test.find(&trace_state::parse(span.trace_state())?)?.to_owned();
            Some((format!("trace_state[{}]", test.key()).into(), value))
        }
        Predicate::Conditions(_) | Predicate::Failure => None,
    }
}

fn whole_trace(key: &str, value: String) -> Evidence {
    Evidence { span_id: None, key: key.into(), value }
}

/// Cuts text at a character boundary.
pub(crate) fn shorten(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

/// Cuts text at a character boundary, without copying.
pub(crate) fn short(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or(text)
}
