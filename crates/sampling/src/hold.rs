//! Spans of traces that are held: each run is read, and what it says and its bytes go to the trace in one go.

use std::sync::Arc;

use forebay_otlp::traces::SpanView;

use crate::batches::BatchAt;
use crate::contexts::Priority;
use crate::decision::{Action, Trigger};
use crate::evidence::short;
use crate::grouping::{Grouping, TraceSpans};
use crate::ingest::{Group, Scratch};
use crate::sampler::Sampler;
use crate::traces::UNRANKED;
use crate::walk::{self, SpanFacts};

/// What a run says of its trace beside its [`Facts`](crate::facts::Facts).
struct Said<'a> {
    /// The name of the first span without a parent.
    root_name: Option<&'a [u8]>,
    /// The highest priority, and the first one that is not in the order.
    rank: u8,
    odd_priority: Option<&'a [u8]>,
    /// What is known of the trace changed.
    changed: bool,
    /// The last span that the trace waited for has come.
    closed: bool,
}

impl Sampler {
    /// Evaluates and stores a run of spans of a trace that is held at `at`, or of a new one.
    pub(crate) fn hold(
        &mut self,
        run: TraceSpans,
        at: Option<u32>,
        spans: &Grouping,
        group: &mut Group<'_>,
        out: &mut Vec<Action>,
    ) {
        let is_new = at.is_none();
        let at = at.unwrap_or_else(|| self.new_trace(run.id, out));
        let body = group.scope_spans.bytes();
        let (resource, scope) = (self.resource(group), self.scope(group));
        if self.config.span_ingest {
            self.open_batch(at);
        }
        let mut said =
            Said { root_name: None, rank: UNRANKED, odd_priority: None, changed: is_new, closed: false };
        said.changed |= self.policies.uses_span_count;
        let has_conditions = !self.policies.predicates.conditions.is_empty();
        let is_plain = !has_conditions && self.traces.get(at).is_some_and(|trace| trace.extra.is_none());
        self.scratch.facts.clear();
        for span in spans.spans(run, body).map(SpanView::new) {
            let Scratch { seen, facts, .. } = &mut self.scratch;
            let key = self.config.priority.key.as_bytes();
            let found = walk::span(span, &self.policies, key, &mut self.caches, seen, &mut facts.matched);
            facts.add_times(found.start, found.end);
            said.root_name = said.root_name.or(found.root_name);
            if let Some(value) = found.priority {
                match self.config.priority.rank(value) {
                    Some(rank) => said.rank = said.rank.min(rank),
                    None => said.odd_priority = said.odd_priority.or(Some(value)),
                }
            }
            if !is_plain {
                self.hold_more(at, span, &found, group, &mut said);
            }
        }
        self.learn(at, is_new, resource, &mut said);
        let Some(trace) = self.traces.get_mut(at) else { return };
        let (last_record, records) =
            self.segments.append(trace.last_record, scope, spans.fields(run, body), run.fields as usize);
        trace.last_record = last_record;
        self.contexts.retain_scope(scope, records);
        self.traces.add_spans(at, run.spans, u64::from(run.bytes));
        self.settle(at, run, said.changed, out);
    }

    /// What only some configurations and traces ask of a span.
    fn hold_more(
        &mut self,
        at: u32,
        span: SpanView<'_>,
        found: &SpanFacts<'_>,
        group: &mut Group<'_>,
        said: &mut Said<'_>,
    ) {
        let scope = self.scope(group);
        let Some(trace) = self.traces.get_mut(at) else { return };
        if !self.policies.predicates.conditions.is_empty() {
            let held = &mut self.scratch.conditions;
            held.clear();
            let known = &trace.batch().map_or(&trace.facts, |batch| &batch.facts).matched;
            let (at, errors) = (self.contexts.span_scope(scope, span), &mut self.condition_errors);
            self.policies.predicates.eval_conditions(&at, span, known, held, errors);
            said.changed |= trace.learn(|known| known.matched.union(held));
        }
        let Some(extra) = &mut trace.extra else { return };
        if let Some(size) = &mut extra.size {
            let at = BatchAt { batch: self.batch, scope: group.ordinals.1 };
            let resource_header = self.contexts.resource_header(self.contexts.resource_of(scope));
            let len = span.bytes().len() as u64 + found.unwritten;
            size.add(at, resource_header, self.contexts.scope_header(scope), len);
        }
        if !extra.open_parents.is_empty() {
            said.closed |= self.close_parent(at, span);
        }
    }

    /// Adds what a run and its resource say to what is known of the trace.
    fn learn(&mut self, at: u32, is_new: bool, resource: u32, said: &mut Said<'_>) {
        let (now, is_patient) = (self.now, self.is_patient());
        let Some(trace) = self.traces.get_mut(at) else { return };
        let (run, of_resource) = (&self.scratch.facts, self.contexts.facts(resource));
        trace.last_seen = now;
        // Those that were quiet longest yield first; by the collector's timing those that came first.
        trace.touched = is_patient && !is_new;
        said.changed |= trace.learn(|known| known.matched.union(&of_resource.matched));
        said.changed |= trace.learn(|known| known.matched.union(&run.matched));
        said.changed |=
            trace.learn(|known| known.add_times(run.start, run.end)) && self.policies.uses_latency;
        let is_named = of_resource.service_name.is_some();
        if trace.resource == u32::MAX && is_named {
            trace.resource = resource;
        }
        let first_root = said.root_name.filter(|_| !trace.has_root);
        let is_first_root = first_root.is_some();
        if let Some(name) = first_root {
            self.traces.change_heap(at, |trace| {
                trace.has_root = true;
                trace.root_name = Some(short(&String::from_utf8_lossy(name)).into());
                trace.resource = if is_named { resource } else { trace.resource };
            });
        }
        if let Some(priority) = of_resource.priority.clone() {
            self.raise_priority(at, &priority);
        }
        if said.rank != UNRANKED {
            self.raise_priority(at, &Priority::Ranked(said.rank));
        }
        if let Some(value) = said.odd_priority
            && self.traces.get(at).is_some_and(|trace| !trace.has_odd_priority())
        {
            self.raise_priority(at, &walk::priority(&self.config.priority, value));
        }
        if is_first_root || said.closed {
            self.root_received(at);
        }
    }

    /// Counts a trace to the class of a priority seen on it, if that is higher than those before.
    fn raise_priority(&mut self, at: u32, priority: &Priority) {
        let Some(trace) = self.traces.get_mut(at) else { return };
        match priority {
            Priority::Ranked(rank) if *rank < trace.rank => {
                trace.rank = *rank;
                if trace.class != *rank {
                    self.traces.change(at, |trace| trace.class = *rank);
                }
            }
            Priority::Odd(value) if !trace.has_odd_priority() => {
                self.traces.change_heap(at, |trace| {
                    trace.extra.get_or_insert_default().odd_priority = Some(Arc::clone(value));
                });
            }
            _ => {}
        }
    }

    /// Spans came: decides the trace if that settles it, and makes room.
    fn settle(&mut self, at: u32, run: TraceSpans, changed: bool, out: &mut Vec<Action>) {
        let first_match = self.config.sample_on_first_match;
        let Some(trace) = self.traces.get(at) else { return };
        if trace.retained {
            self.report_retained(at, run.spans, u64::from(run.bytes), out);
            if self.is_too_large(at) {
                self.release_retained(at, out);
            } else if changed {
                self.reconsider(at, out);
            }
        } else if self.is_too_large(at) {
            self.decide(at, Trigger::TooLarge, out);
        } else if changed
            && self.config.early_keep
            && self.policies.keeps_for_good(trace.candidate(), first_match)
        {
            self.decide(at, Trigger::EarlyKeep, out);
        }
        self.fit(at, out);
    }
}
