//! Taking a request in: spans go to their traces, or follow the verdict their trace already has.

use std::sync::Arc;
use std::time::Duration;

use forebay_otlp::traces::{ResourceSpansView, ScopeSpansView, SpanView, TracesView};

use crate::batches::BatchAt;
use crate::contexts::Priority;
use crate::decision::{Action, LateSpans, Trigger, Verdict};
use crate::emit::{Piece, put_varint};
use crate::evidence::short;
use crate::grouping::{Grouping, TraceSpans};
use crate::index::{Place, Shard};
use crate::leaf_set::LeafSet;
use crate::sampler::Sampler;
use crate::segments::{RecordAt, SPANS_KEY};
use crate::walk::{self, Seen};

/// Memory that one call of [`Sampler::ingest`] leaves to the next.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    seen: Seen,
    matched: LeafSet,
    header: Vec<u8>,
    scope_header: Vec<u8>,
    spans: Grouping,
    late: LateOutput,
}

impl Scratch {
    pub(crate) fn new(keys: usize) -> Self {
        Self { seen: Seen::new(keys), ..Self::default() }
    }
}

/// How many bytes one request's late spans leave to the next.
const MOST_LATE_KEPT: usize = 1 << 20;

/// Late spans of kept traces: headers and spans in one buffer.
#[derive(Debug, Default)]
struct LateOutput {
    bytes: Vec<u8>,
    runs: Vec<LateRun>,
}

/// Ranges of [`LateOutput::bytes`].
#[derive(Clone, Debug)]
struct LateRun {
    resource: u32,
    scope: u32,
    policy: u32,
    resource_header: (usize, usize),
    scope_header: (usize, usize),
    spans: (usize, usize),
}

/// The group of spans that is being read.
struct Group<'a> {
    resource_spans: ResourceSpansView<'a>,
    scope_spans: ScopeSpansView<'a>,
    /// All of the scope but its spans.
    header: Vec<u8>,
    /// Numbers of resource and scope within the request.
    ordinals: (u32, u32),
    /// Held in the contexts as soon as a span under it is held.
    resource: Option<u32>,
    scope: Option<u32>,
    /// Written for late spans as soon as there is one.
    late_resource: Option<(usize, usize)>,
    late_scope: Option<(usize, usize)>,
}

/// Where the spans go that one trace has in one scope of the request.
enum Target {
    /// The trace is undecided or retained.
    Held(HeldRun),
    /// The trace is decided.
    Late(LateSpans),
}

/// Spans of a trace that is held.
struct HeldRun {
    at: u32,
    /// The record being filled.
    record: RecordAt,
    /// What is known of the trace changed.
    changed: bool,
    spans: u32,
    bytes: usize,
}

impl Sampler {
    /// Takes in the spans of a request, or of those only that belong to `shard`.
    ///
    /// The request must be valid (`forebay_otlp::traces::validate`); spans whose trace id has not 16 bytes are
    /// left out and counted. Spans of a trace decided before follow its verdict at once.
    pub fn ingest(&mut self, request: &[u8], shard: Option<Shard>, now: Duration, out: &mut Vec<Action>) {
        self.advance(now);
        let mut ordinals = (0, 0);
        for resource_spans in TracesView::new(request).resource_spans() {
            ordinals.0 += 1;
            self.batch = self.batch.wrapping_add(1);
            let (mut resource, mut late_resource) = (None, None);
            for scope_spans in resource_spans.scope_spans() {
                ordinals.1 += 1;
                let mut group = Group {
                    resource_spans,
                    scope_spans,
                    header: std::mem::take(&mut self.scratch.scope_header),
                    ordinals,
                    resource,
                    scope: None,
                    late_resource,
                    late_scope: None,
                };
                self.ingest_group(&mut group, shard, out);
                self.scratch.scope_header = std::mem::take(&mut group.header);
                (resource, late_resource) = (group.resource, group.late_resource);
                if let Some(scope) = group.scope {
                    self.contexts.release_scope(scope);
                }
            }
            self.end_batches(out);
            if let Some(resource) = resource {
                self.contexts.release_resource(resource);
            }
        }
        self.send_late(out);
        // What is on its way out must not pile up while more comes in.
        let mut released = 0;
        while !self.rests.is_empty() && released <= request.len() {
            released += self.release_step(out);
        }
        self.timers.oldest(&self.traces);
        self.tidy();
        self.emitter.flush(out);
    }

    fn ingest_group(&mut self, group: &mut Group<'_>, shard: Option<Shard>, out: &mut Vec<Action>) {
        let body = group.scope_spans.bytes();
        let mut spans = std::mem::take(&mut self.scratch.spans);
        spans.clear();
        group.header.clear();
        group.scope_spans.read(&mut group.header, |span| match walk::trace_id(span) {
            Some(id) => {
                let start = span.bytes().as_ptr() as usize - body.as_ptr() as usize;
                spans.add(id, start, span.bytes().len(), &self.index);
            }
            // Every shard sees it; the first one counts it.
            None => self.stats.spans_invalid += u64::from(shard.is_none_or(|shard| shard.index == 0)),
        });
        for number in 0..spans.traces() {
            let Some(trace) = spans.trace(number) else { break };
            if shard.is_some_and(|shard| !shard.owns(trace.hash)) {
                continue;
            }
            let mut target = self.begin_run(trace, group, out);
            for place in spans.spans(trace) {
                let span = SpanView::new(body.get(place).unwrap_or_default());
                self.stats.spans_accepted += 1;
                match &mut target {
                    Target::Held(run) => self.hold(run, span, group),
                    Target::Late(late) => self.follow(late, span),
                }
            }
            self.end_run(target, out);
        }
        self.scratch.spans = spans;
    }

    fn begin_run(&mut self, trace: TraceSpans, group: &mut Group<'_>, out: &mut Vec<Action>) -> Target {
        let id = trace.id;
        let place = self.index.get_hashed(trace.hash, &id);
        match place.and_then(|place| self.recall(place)) {
            Some((verdict, remembered)) => {
                let policy = self.policies.policies.get(remembered.policy as usize);
                let policy = policy.map(|policy| Arc::clone(&policy.name));
                if verdict == Verdict::Kept {
                    self.begin_late_run(group, remembered.policy);
                }
                Target::Late(LateSpans {
                    trace_id: id,
                    verdict,
                    policy,
                    spans: 0,
                    bytes: 0,
                    age: Duration::from_nanos(self.now.saturating_sub(remembered.decided_at)),
                    streamed: self.now < remembered.streams_until,
                    retained: false,
                })
            }
            None => {
                let (at, is_new) = match place {
                    Some(Place::Held(at)) => (at, false),
                    _ => (self.new_trace(id, out), true),
                };
                self.open_batch(at);
                let resource = self.resource(group);
                let (now, is_patient) = (self.now, self.is_patient());
                if let Some(trace) = self.traces.get_mut(at) {
                    trace.last_seen = now;
                    // Those that were quiet longest yield first; by the collector's timing those that came first.
                    trace.touched = is_patient && !is_new;
                }
                let changed = self.add_resource_facts(at, resource) || is_new;
                Target::Held(HeldRun { at, record: RecordAt::NONE, changed, spans: 0, bytes: 0 })
            }
        }
    }

    /// Evaluates and stores a span of a trace that is held.
    fn hold(&mut self, run: &mut HeldRun, span: SpanView<'_>, group: &mut Group<'_>) {
        let (at, scope) = (run.at, self.scope(group));
        self.scratch.matched.clear();
        let Scratch { seen, matched, .. } = &mut self.scratch;
        let priority_key = self.config.priority.key.as_bytes();
        let facts = walk::span(span, &self.policies, priority_key, &mut self.caches, seen, matched);
        let Some(trace) = self.traces.get_mut(at) else { return };
        if !self.policies.predicates.conditions.is_empty() {
            let known = &trace.batch().map_or(&trace.facts, |batch| &batch.facts).matched;
            let (at, errors) = (self.contexts.span_scope(scope, span), &mut self.condition_errors);
            self.policies.predicates.eval_conditions(&at, span, known, matched, errors);
        }
        run.changed |= trace.learn(|known| known.matched.union(matched));
        run.changed |=
            trace.learn(|known| known.add_times(facts.start, facts.end)) && self.policies.uses_latency;
        run.changed |= self.policies.uses_span_count;
        let bytes = span.bytes();
        if let Some(size) = trace.extra.as_mut().and_then(|extra| extra.size.as_mut()) {
            let at = BatchAt { batch: self.batch, scope: group.ordinals.1 };
            let resource_header = self.contexts.resource_header(self.contexts.resource_of(scope));
            let len = bytes.len() as u64 + facts.unwritten;
            size.add(at, resource_header, self.contexts.scope_header(scope), len);
        }
        run.spans += 1;
        run.bytes += bytes.len();
        let waits = trace.extra.as_ref().is_some_and(|extra| !extra.open_parents.is_empty());
        let first_root = facts.root_name.filter(|_| !trace.has_root);
        let is_first_root = first_root.is_some();
        if let Some(name) = first_root {
            let named_service = |resource: &u32| self.contexts.facts(*resource).service_name.is_some();
            let resource = group.resource.filter(named_service);
            self.traces.change_heap(at, |trace| {
                trace.has_root = true;
                trace.root_name = Some(short(&String::from_utf8_lossy(name)).into());
                trace.resource = resource.unwrap_or(trace.resource);
            });
        }
        if let Some(value) = facts.priority {
            match self.config.priority.rank(value) {
                Some(rank) => self.raise_priority(at, &Priority::Ranked(rank)),
                None if self.traces.get(at).is_some_and(|trace| !trace.has_odd_priority()) => {
                    self.raise_priority(at, &walk::priority(&self.config.priority, value));
                }
                None => {}
            }
        }
        if run.record == RecordAt::NONE || !self.segments.extend(run.record, bytes) {
            if run.record != RecordAt::NONE {
                self.segments.end(run.record);
            }
            self.contexts.retain_scope(scope);
            if let Some(trace) = self.traces.get_mut(at) {
                trace.last_record = self.segments.begin(trace.last_record, scope, bytes);
                run.record = trace.last_record;
            }
        }
        if is_first_root || (waits && self.close_parent(at, span)) {
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

    /// A span of a decided trace: sent on or discarded at once.
    fn follow(&mut self, late: &mut LateSpans, span: SpanView<'_>) {
        let bytes = span.bytes();
        late.spans += 1;
        late.bytes += bytes.len() as u64;
        if late.verdict == Verdict::Dropped {
            self.stats.spans_dropped += 1;
            self.stats.spans_late_dropped += 1;
            return;
        }
        self.stats.spans_kept += 1;
        self.stats.spans_late_kept += 1;
        let buffer = &mut self.scratch.late.bytes;
        buffer.push(SPANS_KEY);
        put_varint(buffer, bytes.len());
        buffer.extend_from_slice(bytes);
    }

    fn end_run(&mut self, target: Target, out: &mut Vec<Action>) {
        match target {
            Target::Held(run) => {
                let HeldRun { at, changed, spans, bytes, .. } = run;
                self.segments.end(run.record);
                self.traces.add_spans(at, spans, bytes as u64);
                let first_match = self.config.sample_on_first_match;
                let Some(trace) = self.traces.get(at) else { return };
                if trace.retained {
                    self.report_retained(at, spans, bytes as u64, out);
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
            Target::Late(late) => {
                if late.verdict == Verdict::Kept {
                    let late_output = &mut self.scratch.late;
                    if let Some(run) = late_output.runs.last_mut() {
                        run.spans.1 = late_output.bytes.len();
                    }
                }
                out.push(Action::Late(late));
            }
        }
    }

    /// Adds what the resource says to what is known of a trace.
    fn add_resource_facts(&mut self, at: u32, resource: u32) -> bool {
        let Some(trace) = self.traces.get_mut(at) else { return false };
        let facts = self.contexts.facts(resource);
        if trace.resource == u32::MAX && facts.service_name.is_some() {
            trace.resource = resource;
        }
        let changed = trace.learn(|known| known.matched.union(&facts.matched));
        if let Some(priority) = facts.priority.clone() {
            self.raise_priority(at, &priority);
        }
        changed
    }

    /// The number of the group's resource, held until the resource is read.
    fn resource(&mut self, group: &mut Group<'_>) -> u32 {
        if let Some(resource) = group.resource {
            return resource;
        }
        let Scratch { seen, header, .. } = &mut self.scratch;
        header.clear();
        group.resource_spans.write_header(header);
        let (policies, priorities, caches) = (&self.policies, &self.config.priority, &mut self.caches);
        let facts = || walk::resource(header, policies, priorities, caches, seen);
        let resource = self.contexts.hold_resource(header, facts);
        *group.resource.insert(resource)
    }

    /// The number of the group's scope, held until the scope is read.
    fn scope(&mut self, group: &mut Group<'_>) -> u32 {
        if let Some(scope) = group.scope {
            return scope;
        }
        let resource = self.resource(group);
        *group.scope.insert(self.contexts.hold_scope(resource, &group.header))
    }

    fn begin_late_run(&mut self, group: &mut Group<'_>, policy: u32) {
        let late = &mut self.scratch.late;
        let mut written = |write: &dyn Fn(&mut Vec<u8>)| {
            let start = late.bytes.len();
            write(&mut late.bytes);
            (start, late.bytes.len())
        };
        let resource_header = *group
            .late_resource
            .get_or_insert_with(|| written(&|out| group.resource_spans.write_header(out)));
        let scope_header =
            *group.late_scope.get_or_insert_with(|| written(&|out| out.extend_from_slice(&group.header)));
        let start = late.bytes.len();
        let (resource, scope) = group.ordinals;
        late.runs.push(LateRun {
            resource,
            scope,
            policy,
            resource_header,
            scope_header,
            spans: (start, start),
        });
    }

    fn send_late(&mut self, out: &mut Vec<Action>) {
        let LateOutput { bytes, runs } = &mut self.scratch.late;
        let at = |(start, end): (usize, usize)| bytes.get(start..end).unwrap_or_default();
        let marks = self.marks.as_ref();
        let piece = |run: &LateRun| Piece {
            resource: run.resource,
            scope: run.scope,
            resource_header: at(run.resource_header),
            scope_header: at(run.scope_header),
            spans: at(run.spans),
            mark: marks.map_or(&[][..], |marks| marks.late(run.policy)),
        };
        if !self.config.verdicts_only {
            self.emitter.write(runs, piece, out);
        }
        runs.clear();
        bytes.clear();
        runs.shrink_to(MOST_LATE_KEPT / 64);
        bytes.shrink_to(MOST_LATE_KEPT);
    }
}
