//! Spans of traces that are held: what a run says and its bytes go to the trace in one go.

use std::sync::Arc;

use forebay_otlp::traces::SpanView;

use crate::batches::BatchAt;
use crate::contexts::Priority;
use crate::decision::{Action, Trigger};
use crate::evidence::short;
use crate::ingest::Open;
use crate::read::{Group, Reading, Run};
use crate::sampler::Sampler;
use crate::traces::UNRANKED;
use crate::walk;

/// What came of taking in a run.
struct Outcome {
    /// What is known of the trace changed.
    changed: bool,
    /// More of what policies ask holds.
    matched: bool,
    /// The last span that the trace waited for has come.
    closed: bool,
}

impl Sampler {
    /// Adds a run of spans to the trace that is held at `at`, or to a new one.
    pub(crate) fn hold(&mut self, run: &Run, at: Option<u32>, open: &mut Open<'_>, out: &mut Vec<Action>) {
        let is_new = at.is_none();
        let at = at.unwrap_or_else(|| self.new_trace(run.id, out));
        let (resource, scope) = self.context(open);
        if self.config.span_ingest {
            self.open_batch(at);
        }
        let changed = is_new || self.policies.uses_span_count;
        let mut outcome = Outcome { changed, matched: false, closed: false };
        if !self.policies.predicates.conditions.is_empty()
            || self.traces.get(at).is_some_and(|trace| trace.extra.is_some())
        {
            for (span, unwritten) in open.reading.spans(run) {
                self.hold_more(at, span, unwritten, scope, open.group, &mut outcome);
            }
        }
        self.learn(at, is_new, resource, run, open.reading, &mut outcome);
        let Some(trace) = self.traces.get_mut(at) else { return };
        let fields = open.reading.fields(run);
        let (last_record, records) =
            self.segments.append(trace.last_record, scope, fields, run.fields as usize);
        trace.last_record = last_record;
        if outcome.matched {
            trace.turning = last_record;
        }
        self.contexts.retain_scope(scope, records);
        self.traces.add_spans(at, run.spans, u64::from(run.bytes));
        self.settle(at, run, outcome.changed || outcome.matched, out);
    }

    /// What only some configurations and traces ask of a span.
    fn hold_more(
        &mut self,
        at: u32,
        span: SpanView<'_>,
        unwritten: u64,
        scope: u32,
        group: &Group,
        outcome: &mut Outcome,
    ) {
        let Some(trace) = self.traces.get_mut(at) else { return };
        if !self.policies.predicates.conditions.is_empty() {
            let held = &mut self.scratch.conditions;
            held.clear();
            let known = &trace.batch().map_or(&trace.facts, |batch| &batch.facts).matched;
            let (at, errors) = (self.contexts.span_scope(scope, span), &mut self.condition_errors);
            self.policies.predicates.eval_conditions(&at, span, known, held, errors);
            outcome.matched |= trace.learn(|known| known.matched.union(held));
        }
        let Some(extra) = &mut trace.extra else { return };
        if let Some(size) = &mut extra.size {
            let at = BatchAt { batch: self.batch, scope: group.scope };
            let resource_header = self.contexts.resource_header(self.contexts.resource_of(scope));
            let len = span.bytes().len() as u64 + unwritten;
            size.add(at, resource_header, self.contexts.scope_header(scope), len);
        }
        if !extra.open_parents.is_empty() {
            outcome.closed |= self.close_parent(at, span);
        }
    }

    /// Adds what a run and its resource say to what is known of the trace.
    fn learn(
        &mut self,
        at: u32,
        is_new: bool,
        resource: u32,
        run: &Run,
        reading: Reading<'_>,
        outcome: &mut Outcome,
    ) {
        let (now, is_patient) = (self.now, self.is_patient());
        let Some(trace) = self.traces.get_mut(at) else { return };
        let of_resource = self.contexts.facts(resource);
        trace.last_seen = now;
        // Those that were quiet longest yield first; by the collector's timing those that came first.
        trace.touched = is_patient && !is_new;
        outcome.matched |= trace.learn(|known| known.matched.union(&of_resource.matched));
        outcome.matched |= trace.learn(|known| known.matched.union(&run.facts.matched));
        outcome.changed |= trace.learn(|known| known.add_times(run.facts.start, run.facts.end))
            && self.policies.uses_latency;
        let is_named = of_resource.service_name.is_some();
        if trace.resource == u32::MAX && is_named {
            trace.resource = resource;
        }
        let first_root = reading.root_name(run).filter(|_| !trace.has_root);
        let is_first_root = first_root.is_some();
        if let Some(name) = first_root {
            let name = String::from_utf8_lossy(name);
            self.traces.set_root(at, short(&name), is_named.then_some(resource));
        }
        if let Some(priority) = of_resource.priority.clone() {
            self.raise_priority(at, &priority);
        }
        if run.rank != UNRANKED {
            self.raise_priority(at, &Priority::Ranked(run.rank));
        }
        if let Some(value) = reading.odd_priority(run)
            && self.traces.get(at).is_some_and(|trace| !trace.has_odd_priority())
        {
            self.raise_priority(at, &walk::priority(&self.config.priority, value));
        }
        if is_first_root || outcome.closed {
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
    fn settle(&mut self, at: u32, run: &Run, changed: bool, out: &mut Vec<Action>) {
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
