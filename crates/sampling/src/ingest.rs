//! Taking a request in: spans go to their traces, or follow the verdict their trace already has.

use std::sync::Arc;
use std::time::Duration;

use forebay_otlp::traces::{ResourceSpansView, ScopeSpansView, SpanView, TracesView};

use crate::batches::BatchAt;
use crate::decision::{Action, LateSpans, Trigger, Verdict};
use crate::emit::{Piece, put_varint};
use crate::evidence::short;
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
    late: LateOutput,
}

impl Scratch {
    pub(crate) fn new(keys: usize) -> Self {
        Self { seen: Seen::new(keys), ..Self::default() }
    }
}

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
    /// Numbers of resource and scope within the request.
    ordinals: (u32, u32),
    /// Held in the contexts as soon as a span under it is held.
    resource: Option<u32>,
    scope: Option<u32>,
    /// Written for late spans as soon as there is one.
    late_resource: Option<(usize, usize)>,
    late_scope: Option<(usize, usize)>,
}

/// Neighbouring spans of one trace in one scope.
struct Run {
    id: [u8; 16],
    target: Target,
}

enum Target {
    /// The trace is undecided: its number, the record being filled, and whether its facts changed.
    Held { at: u32, record: RecordAt, changed: bool },
    /// The trace is decided.
    Late(LateSpans),
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
                    ordinals,
                    resource,
                    scope: None,
                    late_resource,
                    late_scope: None,
                };
                self.ingest_group(&mut group, shard, out);
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
        self.emitter.flush(out);
    }

    fn ingest_group(&mut self, group: &mut Group<'_>, shard: Option<Shard>, out: &mut Vec<Action>) {
        let mut run: Option<Run> = None;
        for span in group.scope_spans.spans() {
            let Some(id) = walk::trace_id(span) else {
                // Every shard sees it; the first one counts it.
                self.stats.spans_invalid += u64::from(shard.is_none_or(|shard| shard.index == 0));
                continue;
            };
            if run.as_ref().is_none_or(|run| run.id != id) {
                if shard.is_some_and(|shard| Shard::index_of(&id, shard.count, self.seed) != shard.index) {
                    continue;
                }
                self.end_run(run.take(), out);
            }
            let mut current = match run.take() {
                Some(run) => run,
                None => self.begin_run(id, group, out),
            };
            self.stats.spans_accepted += 1;
            match &mut current.target {
                Target::Held { at, record, changed } => *changed |= self.hold(*at, record, span, group),
                Target::Late(late) => self.follow(late, span),
            }
            run = Some(current);
        }
        self.end_run(run, out);
    }

    fn begin_run(&mut self, id: [u8; 16], group: &mut Group<'_>, out: &mut Vec<Action>) -> Run {
        let place = self.index.get(&id);
        let target = match place.and_then(|place| self.recall(place)) {
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
                })
            }
            None => {
                let (at, is_new) = match place {
                    Some(Place::Held(at)) => (at, false),
                    _ => (self.new_trace(id, out), true),
                };
                self.open_batch(at);
                let resource = self.resource(group);
                let changed = self.add_resource_facts(at, resource);
                Target::Held { at, record: RecordAt::NONE, changed: changed || is_new }
            }
        };
        Run { id, target }
    }

    /// Evaluates and stores a span of an undecided trace; true when what is known of the trace changed.
    fn hold(&mut self, at: u32, record: &mut RecordAt, span: SpanView<'_>, group: &mut Group<'_>) -> bool {
        let scope = self.scope(group);
        self.scratch.matched.clear();
        let Scratch { seen, matched, .. } = &mut self.scratch;
        let priority_key = self.config.priority_key.as_bytes();
        let facts = walk::span(span, &self.policies, priority_key, &mut self.caches, seen, matched);
        let Some(trace) = self.traces.get_mut(at) else { return false };
        if !self.policies.predicates.conditions.is_empty() {
            let known = &trace.batch.as_ref().map_or(&trace.facts, |batch| &batch.facts).matched;
            let (at, errors) = (self.contexts.span_scope(scope, span), &mut self.condition_errors);
            self.policies.predicates.eval_conditions(&at, span, known, matched, errors);
        }
        let mut changed = trace.learn(|known| known.matched.union(matched));
        changed |= trace.learn(|known| known.add_times(facts.start, facts.end)) && self.policies.uses_latency;
        changed |= self.policies.uses_span_count;
        if let Some(value) = facts.priority {
            let best = trace.priority.as_ref().map_or(u32::MAX, |(rank, _)| *rank);
            let rank = priority_rank(&self.config.priority_order, value);
            if rank < best {
                trace.priority = Some((rank, short(&String::from_utf8_lossy(value)).into()));
            }
        }
        let bytes = span.bytes();
        if let Some(size) = &mut trace.size {
            let at = BatchAt { batch: self.batch, scope: group.ordinals.1 };
            let resource_header = self.contexts.resource_header(self.contexts.resource_of(scope));
            let len = bytes.len() as u64 + facts.unwritten;
            size.add(at, resource_header, self.contexts.scope_header(scope), len);
        }
        trace.spans += 1;
        trace.last_seen = self.now;
        trace.bytes += bytes.len() as u64;
        self.stats.spans_held += 1;
        self.stats.bytes_held += bytes.len() as u64;
        let first_root = facts.root_name.filter(|_| !trace.has_root);
        if let Some(name) = first_root {
            trace.has_root = true;
            trace.root_name = Some(short(name).into());
            if let Some(resource) = group.resource {
                trace.service_name.clone_from(&self.contexts.facts(resource).service_name);
            }
        }
        if *record == RecordAt::NONE || !self.segments.extend(*record, bytes) {
            if *record != RecordAt::NONE {
                self.segments.end(*record);
            }
            self.contexts.retain_scope(scope);
            trace.last_record = self.segments.begin(trace.last_record, scope, bytes);
            *record = trace.last_record;
        }
        if first_root.is_some() {
            self.root_received(at);
        }
        changed
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

    fn end_run(&mut self, run: Option<Run>, out: &mut Vec<Action>) {
        match run.map(|run| run.target) {
            Some(Target::Held { at, record, changed }) => {
                self.segments.end(record);
                let first_match = self.config.sample_on_first_match;
                if self.is_too_large(at) {
                    self.decide(at, Trigger::TooLarge, out);
                }
                if changed
                    && self.config.early_keep
                    && let Some(trace) = self.traces.get(at)
                    && self.policies.keeps_for_good(trace.candidate(), first_match)
                {
                    self.decide(at, Trigger::EarlyKeep, out);
                }
                self.fit_memory(out);
            }
            Some(Target::Late(late)) => {
                if late.verdict == Verdict::Kept {
                    let late_output = &mut self.scratch.late;
                    if let Some(run) = late_output.runs.last_mut() {
                        run.spans.1 = late_output.bytes.len();
                    }
                }
                out.push(Action::Late(late));
            }
            None => {}
        }
    }

    /// Adds what the resource says to what is known of a trace.
    fn add_resource_facts(&mut self, at: u32, resource: u32) -> bool {
        let Some(trace) = self.traces.get_mut(at) else { return false };
        let facts = self.contexts.facts(resource);
        if trace.service_name.is_none() {
            trace.service_name.clone_from(&facts.service_name);
        }
        if let Some((rank, value)) = &facts.priority
            && trace.priority.as_ref().is_none_or(|(best, _)| rank < best)
        {
            trace.priority = Some((*rank, Arc::clone(value)));
        }
        trace.learn(|known| known.matched.union(&facts.matched))
    }

    /// The number of the group's resource, held until the resource is read.
    fn resource(&mut self, group: &mut Group<'_>) -> u32 {
        if let Some(resource) = group.resource {
            return resource;
        }
        let Scratch { seen, header, .. } = &mut self.scratch;
        header.clear();
        group.resource_spans.write_header(header);
        let order = &self.config.priority_order;
        let rank =
            |value: &[u8]| (priority_rank(order, value), Arc::from(short(&String::from_utf8_lossy(value))));
        let key = self.config.priority_key.as_bytes();
        let (policies, caches) = (&self.policies, &mut self.caches);
        let facts = || walk::resource(header, policies, rank, key, caches, seen);
        let resource = self.contexts.hold_resource(header, facts);
        *group.resource.insert(resource)
    }

    /// The number of the group's scope, held until the scope is read.
    fn scope(&mut self, group: &mut Group<'_>) -> u32 {
        if let Some(scope) = group.scope {
            return scope;
        }
        let resource = self.resource(group);
        let header = &mut self.scratch.header;
        header.clear();
        group.scope_spans.write_header(header);
        *group.scope.insert(self.contexts.hold_scope(resource, header))
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
            *group.late_scope.get_or_insert_with(|| written(&|out| group.scope_spans.write_header(out)));
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
        self.emitter.write(runs, piece, out);
        runs.clear();
        bytes.clear();
    }
}

/// The place of a value in the order of priorities: smaller is higher; unknown ones come last.
fn priority_rank(order: &[String], value: &[u8]) -> u32 {
    order.iter().position(|known| known.as_bytes() == value).unwrap_or(order.len()) as u32
}
