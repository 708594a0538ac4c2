//! Taking a request in: spans go to their traces, or follow the verdict their trace already has.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::decided::Remembered;
use crate::decision::{Action, LateSpans, Verdict};
use crate::emit::Piece;
use crate::index::{Place, Shard};
use crate::leaf_set::LeafSet;
use crate::read::{Group, Reader, Reading, Run};
use crate::sampler::Sampler;
use crate::walk::{self, Seen};

/// Memory that one request leaves to the next.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    seen: Seen,
    /// Which conditions a span holds.
    pub(crate) conditions: LeafSet,
    late: LateOutput,
}

impl Scratch {
    pub(crate) fn new(keys: usize) -> Self {
        Self { seen: Seen::new(keys), ..Self::default() }
    }
}

/// How many bytes one request's late spans leave to the next.
const MOST_LATE_KEPT: usize = 1 << 20;

/// So many traces' entries in the index are asked for before the first is looked at.
const LOOKED_UP: usize = 16;

/// Late spans of kept traces.
#[derive(Debug, Default)]
struct LateOutput {
    spans: Vec<u8>,
    runs: Vec<LateRun>,
}

/// A run of them: the place of its scope among those of the request, the range of its spans, and how many they are.
#[derive(Clone, Debug)]
struct LateRun {
    group: usize,
    policy: u32,
    spans: Range<usize>,
    count: usize,
}

/// The scope whose spans are being taken in.
pub(crate) struct Open<'a> {
    pub(crate) reading: Reading<'a>,
    pub(crate) group: &'a Group,
    /// Its place among those of the request.
    at: usize,
    /// Held in the contexts as soon as a span under it is held.
    resource: Option<u32>,
    scope: Option<u32>,
}

impl Sampler {
    /// Reads a request and takes it in: [`Self::take_in`] for who has one sampler and one thread.
    pub fn ingest(&mut self, request: &[u8], shard: Option<Shard>, now: Duration, out: &mut Vec<Action>) {
        let new = || Box::new(Reader::new(&self.config, Arc::clone(&self.policies), self.seed));
        let mut reader = self.reader.take().unwrap_or_else(new);
        self.take_in(reader.read(request, None), shard, now, out);
        self.reader = Some(reader);
        self.hand_on(out);
    }

    /// Takes in the spans of a request, or of those only that belong to `shard`.
    ///
    /// It must have been read by a [`Reader`] with this sampler's configuration, policies and seed. Spans whose trace id has
    /// not 16 bytes are left out and counted. Spans of a trace decided before follow its verdict at once. Less than a
    /// request's worth of what is to be sent on waits for more of it, until [`Self::hand_on`].
    pub fn take_in(
        &mut self,
        reading: Reading<'_>,
        shard: Option<Shard>,
        now: Duration,
        out: &mut Vec<Action>,
    ) {
        self.advance(now);
        // Every shard sees them; the first one counts them.
        let counts_invalid = shard.is_none_or(|shard| shard.index == 0);
        self.stats.spans_invalid += if counts_invalid { reading.found.invalid } else { 0 };
        let mut at = 0;
        for groups in reading.found.groups.chunk_by(|one, next| one.resource == next.resource) {
            self.batch = self.batch.wrapping_add(1);
            let mut resource = None;
            for group in groups {
                let mut open = Open { reading, group, at, resource, scope: None };
                at += 1;
                self.take_in_group(&mut open, shard, out);
                resource = open.resource;
                if let Some(scope) = open.scope {
                    self.contexts.release_scope(scope);
                }
            }
            self.end_batches(out);
            if let Some(resource) = resource {
                self.contexts.release_resource(resource);
            }
        }
        self.send_late(reading, out);
        // What is on its way out must not pile up while more comes in.
        let mut released = 0;
        while !self.rests.is_empty() && released <= reading.request.len() {
            released += self.release_step(out);
        }
        self.timers.oldest(&self.traces);
        self.tidy();
    }

    /// Whether something waits to be sent on with what comes next.
    #[must_use]
    pub fn gathers(&self) -> bool {
        self.emitter.gathers()
    }

    /// Sends on what waits for more.
    pub fn hand_on(&mut self, out: &mut Vec<Action>) {
        self.emitter.flush(out);
    }

    fn take_in_group(&mut self, open: &mut Open<'_>, shard: Option<Shard>, out: &mut Vec<Action>) {
        for runs in open.reading.runs(open.group).chunks(LOOKED_UP) {
            runs.iter().for_each(|run| self.index.prefetch(run.hash));
            for run in runs.iter().filter(|run| shard.is_none_or(|shard| shard.owns(run.hash))) {
                self.take_in_run(run, open, out);
            }
        }
    }

    fn take_in_run(&mut self, run: &Run, open: &mut Open<'_>, out: &mut Vec<Action>) {
        self.stats.spans_accepted += u64::from(run.spans);
        let place = self.find(run.hash, &run.id);
        match place.and_then(|place| self.recall(place)) {
            Some((verdict, remembered)) => self.follow(run, verdict, remembered, open, out),
            None => {
                let at = match place {
                    Some(Place::Held(at)) => Some(at),
                    _ => None,
                };
                self.hold(run, at, open, out);
            }
        }
    }

    /// Where the trace with this id, and this hash of it, stands; none when nothing is known of it.
    #[inline]
    pub(crate) fn find(&self, hash: u64, id: &[u8; 16]) -> Option<Place> {
        self.index.find(hash, |place| match place {
            Place::Held(at) => self.traces.get(at).is_some_and(|trace| trace.id == *id),
            Place::Kept(at) => self.kept.id(at) == *id,
            Place::Dropped(at) => self.dropped.id(at) == *id,
        })
    }

    /// What is remembered of a decided trace, which counts as a use.
    pub(crate) fn recall(&mut self, place: Place) -> Option<(Verdict, Remembered)> {
        match place {
            Place::Held(_) => None,
            Place::Kept(at) => Some((Verdict::Kept, self.kept.touch(at))),
            Place::Dropped(at) => Some((Verdict::Dropped, self.dropped.touch(at))),
        }
    }

    /// Spans of a decided trace: sent on or discarded at once.
    fn follow(
        &mut self,
        run: &Run,
        verdict: Verdict,
        remembered: Remembered,
        open: &Open<'_>,
        out: &mut Vec<Action>,
    ) {
        let count = u64::from(run.spans);
        if verdict == Verdict::Kept {
            self.stats.spans_kept += count;
            self.stats.spans_late_kept += count;
            let LateOutput { spans, runs } = &mut self.scratch.late;
            let start = spans.len();
            open.reading.fields(run).for_each(|span| spans.extend_from_slice(span));
            let spans = start..spans.len();
            runs.push(LateRun {
                group: open.at,
                policy: remembered.policy,
                spans,
                count: run.spans as usize,
            });
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

    /// The number of the group's resource, held until the resource is taken in.
    fn resource(&mut self, open: &mut Open<'_>) -> u32 {
        if let Some(resource) = open.resource {
            return resource;
        }
        let header = open.reading.resource_header(open.group);
        let (policies, priorities, caches) = (&self.policies, &self.config.priority, &mut self.caches);
        let seen = &mut self.scratch.seen;
        let facts = || walk::resource(header, policies, priorities, caches, seen);
        let resource = self.contexts.hold_resource(header, facts);
        *open.resource.insert(resource)
    }

    /// The numbers of the group's resource and scope, held until these are taken in.
    pub(crate) fn context(&mut self, open: &mut Open<'_>) -> (u32, u32) {
        let resource = self.resource(open);
        let header = || open.reading.scope_header(open.group);
        let scope = match open.scope {
            Some(scope) => scope,
            None => self.contexts.hold_scope(resource, header()),
        };
        (resource, *open.scope.insert(scope))
    }

    fn send_late(&mut self, reading: Reading<'_>, out: &mut Vec<Action>) {
        let LateOutput { spans, runs } = &mut self.scratch.late;
        let marks = self.marks.as_ref();
        let groups = &reading.found.groups;
        let piece = |run: &LateRun| {
            let group = groups.get(run.group);
            Piece {
                resource: group.map_or(0, |group| group.resource),
                scope: group.map_or(0, |group| group.scope),
                resource_header: group.map_or(&[][..], |group| reading.resource_header(group)),
                scope_header: group.map_or(&[][..], |group| reading.scope_header(group)),
                spans: spans.get(run.spans.clone()).unwrap_or_default(),
                count: run.count,
                mark: marks.map_or(&[][..], |marks| marks.late(run.policy)),
            }
        };
        if !self.config.verdicts_only {
            self.emitter.write(runs, piece, out);
        }
        runs.clear();
        spans.clear();
        runs.shrink_to(MOST_LATE_KEPT / 64);
        spans.shrink_to(MOST_LATE_KEPT);
    }
}
