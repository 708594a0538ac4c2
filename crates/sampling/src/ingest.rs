//! Taking a request in: spans go to their traces, or follow the verdict their trace already has.

use std::sync::Arc;
use std::time::Duration;

use forebay_otlp::traces::{ResourceSpansView, ScopeSpansView, TracesView};

use crate::decided::Remembered;
use crate::decision::{Action, LateSpans, Verdict};
use crate::emit::Piece;
use crate::facts::Facts;
use crate::grouping::{Grouping, TraceSpans};
use crate::index::{Place, Shard};
use crate::leaf_set::LeafSet;
use crate::sampler::Sampler;
use crate::walk::{self, Seen};

/// Memory that one call of [`Sampler::ingest`] leaves to the next.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) seen: Seen,
    /// What a run says of its trace, and which conditions a span of it holds.
    pub(crate) facts: Facts,
    pub(crate) conditions: LeafSet,
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
pub(crate) struct Group<'a> {
    resource_spans: ResourceSpansView<'a>,
    pub(crate) scope_spans: ScopeSpansView<'a>,
    /// All of the scope but its spans.
    header: Vec<u8>,
    /// Numbers of resource and scope within the request.
    pub(crate) ordinals: (u32, u32),
    /// Held in the contexts as soon as a span under it is held.
    pub(crate) resource: Option<u32>,
    scope: Option<u32>,
    /// Written for late spans as soon as there is one.
    late_resource: Option<(usize, usize)>,
    late_scope: Option<(usize, usize)>,
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
        group.scope_spans.read(&mut group.header, |span, field| match walk::trace_id(span) {
            Some(id) => {
                let start = field.as_ptr() as usize - body.as_ptr() as usize;
                spans.add(id, start, field.len(), span.bytes().len(), &self.index);
            }
            // Every shard sees it; the first one counts it.
            None => self.stats.spans_invalid += u64::from(shard.is_none_or(|shard| shard.index == 0)),
        });
        for number in 0..spans.traces() {
            let Some(run) = spans.trace(number) else { break };
            if shard.is_some_and(|shard| !shard.owns(run.hash)) {
                continue;
            }
            self.stats.spans_accepted += u64::from(run.spans);
            let place = self.index.get_hashed(run.hash, &run.id);
            match place.and_then(|place| self.recall(place)) {
                Some((verdict, remembered)) => self.follow(run, verdict, remembered, &spans, group, out),
                None => {
                    let at = match place {
                        Some(Place::Held(at)) => Some(at),
                        _ => None,
                    };
                    self.hold(run, at, &spans, group, out);
                }
            }
        }
        self.scratch.spans = spans;
    }

    /// Spans of a decided trace: sent on or discarded at once.
    fn follow(
        &mut self,
        run: TraceSpans,
        verdict: Verdict,
        remembered: Remembered,
        spans: &Grouping,
        group: &mut Group<'_>,
        out: &mut Vec<Action>,
    ) {
        let count = u64::from(run.spans);
        if verdict == Verdict::Kept {
            self.stats.spans_kept += count;
            self.stats.spans_late_kept += count;
            self.add_late_run(group, remembered.policy, spans.fields(run, group.scope_spans.bytes()));
        } else {
            self.stats.spans_dropped += count;
            self.stats.spans_late_dropped += count;
        }
        let policy = self.policies.policies.get(remembered.policy as usize);
        out.push(Action::Late(LateSpans {
            trace_id: run.id,
            verdict,
            policy: policy.map(|policy| Arc::clone(&policy.name)),
            spans: count,
            bytes: u64::from(run.bytes),
            age: Duration::from_nanos(self.now.saturating_sub(remembered.decided_at)),
            streamed: self.now < remembered.streams_until,
            retained: false,
        }));
    }

    /// The number of the group's resource, held until the resource is read.
    pub(crate) fn resource(&mut self, group: &mut Group<'_>) -> u32 {
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
    pub(crate) fn scope(&mut self, group: &mut Group<'_>) -> u32 {
        if let Some(scope) = group.scope {
            return scope;
        }
        let resource = self.resource(group);
        *group.scope.insert(self.contexts.hold_scope(resource, &group.header))
    }

    fn add_late_run<'s>(
        &mut self,
        group: &mut Group<'_>,
        policy: u32,
        spans: impl Iterator<Item = &'s [u8]>,
    ) {
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
        spans.for_each(|span| late.bytes.extend_from_slice(span));
        let spans = (start, late.bytes.len());
        let (resource, scope) = group.ordinals;
        late.runs.push(LateRun { resource, scope, policy, resource_header, scope_header, spans });
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
