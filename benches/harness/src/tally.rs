//! What must come out, and whether it did.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use forebay_generator::{Corpus, ReplayId, SpanSlot};
use serde::{Deserialize, Serialize};

use crate::scan;

/// Which of the traces sent must arrive; the others must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Every trace.
    All,
    /// Traces whose `task.priority` is critical or high.
    Important,
    /// None.
    #[value(skip)]
    #[serde(skip)]
    Nothing,
}

/// Counts the spans that arrive, each on its own: a lost span cannot hide behind a doubled one.
#[derive(Debug)]
pub struct Tally {
    /// The spans each trace of the corpus must bring, one bit each; none when it must not arrive.
    expected: Vec<u64>,
    /// The spans that arrived, per replay and trace.
    seen: Vec<AtomicU64>,
    arrived: AtomicU64,
    requests: AtomicU64,
    compressed: AtomicU64,
    bytes: AtomicU64,
    doubled: AtomicU64,
    unwanted: AtomicU64,
    foreign: AtomicU64,
}

/// A [`Tally`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Counts {
    /// Spans that arrived, right or wrong.
    pub arrived: u64,
    pub requests: u64,
    /// Of these, how many came compressed.
    #[serde(default)]
    pub compressed: u64,
    /// Their size, uncompressed.
    pub bytes: u64,
    /// Spans that must arrive.
    pub expected: u64,
    /// Expected spans that did not arrive.
    pub missing: u64,
    /// Traces of which some spans arrived and some did not.
    pub torn_traces: u64,
    /// Spans that arrived more than once.
    pub doubled: u64,
    /// Spans of traces that had to be dropped.
    pub unwanted: u64,
    /// Spans, or whole requests, that nobody sent like that.
    pub foreign: u64,
}

impl Tally {
    /// Expects what `keep` keeps of `replays` replays of the corpus.
    pub fn new(corpus: &Corpus, replays: u32, keep: Keep) -> Self {
        let expected: Vec<u64> = corpus
            .traces()
            .iter()
            .map(|trace| match keep {
                Keep::Nothing => 0,
                Keep::Important if !trace.priority.is_important() => 0,
                _ => all_spans(trace.spans),
            })
            .collect();
        let seen = (0..expected.len() * replays as usize).map(|_| AtomicU64::new(0)).collect();
        Self {
            expected,
            seen,
            arrived: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            compressed: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            doubled: AtomicU64::new(0),
            unwanted: AtomicU64::new(0),
            foreign: AtomicU64::new(0),
        }
    }

    /// Counts one encoded request.
    pub fn add(&self, request: &[u8]) {
        self.requests.fetch_add(1, Relaxed);
        self.bytes.fetch_add(request.len() as u64, Relaxed);
        let (mut arrived, mut last) = (0, None);
        let outcome = scan::spans(request, |trace_id, span_id| {
            arrived += 1;
            let id = match last {
                Some((bytes, id)) if bytes == trace_id => id,
                _ => ReplayId::from_bytes(trace_id),
            };
            last = <[u8; 16]>::try_from(trace_id).ok().map(|bytes| (bytes, id));
            self.add_span(id, SpanSlot::from_bytes(span_id));
        });
        self.arrived.fetch_add(arrived, Relaxed);
        if outcome.is_err() {
            self.foreign.fetch_add(1, Relaxed);
        }
    }

    /// Counts that a request came compressed.
    pub fn add_compressed(&self) {
        self.compressed.fetch_add(1, Relaxed);
    }

    /// Counts the spans of one request that is not protobuf.
    pub fn add_ids(&self, bytes: usize, ids: impl Iterator<Item = ([u8; 16], [u8; 8])>) {
        self.requests.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
        let spans = ids.map(|(trace_id, span_id)| {
            self.add_span(ReplayId::from_bytes(&trace_id), SpanSlot::from_bytes(&span_id));
        });
        self.arrived.fetch_add(spans.count() as u64, Relaxed);
    }

    /// Counts a request that cannot be read.
    pub fn add_malformed(&self, bytes: usize) {
        self.requests.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
        self.foreign.fetch_add(1, Relaxed);
    }

    fn add_span(&self, id: Option<ReplayId>, slot: Option<SpanSlot>) {
        let place = id.zip(slot).filter(|(id, slot)| id.trace == slot.trace && slot.span < 64).and_then(
            |(id, slot)| {
                let expected = self.expected.get(id.trace as usize)?;
                let seen = self.seen.get(id.replay as usize * self.expected.len() + id.trace as usize)?;
                Some((*expected, seen, 1 << slot.span))
            },
        );
        let Some((expected, seen, bit)) = place else {
            self.foreign.fetch_add(1, Relaxed);
            return;
        };
        if seen.fetch_or(bit, Relaxed) & bit != 0 {
            self.doubled.fetch_add(1, Relaxed);
        } else if expected & bit == 0 {
            self.unwanted.fetch_add(1, Relaxed);
        }
    }

    /// Spans that arrived so far.
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Relaxed)
    }

    /// Spans that must arrive.
    pub fn expected(&self) -> u64 {
        let replays = self.seen.len() / self.expected.len().max(1);
        self.expected.iter().map(|bits| u64::from(bits.count_ones())).sum::<u64>() * replays as u64
    }

    /// The counts as they stand, every trace checked.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            arrived: self.arrived(),
            requests: self.requests.load(Relaxed),
            compressed: self.compressed.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            expected: self.expected(),
            doubled: self.doubled.load(Relaxed),
            unwanted: self.unwanted.load(Relaxed),
            foreign: self.foreign.load(Relaxed),
            ..Counts::default()
        };
        for (seen, expected) in self.seen.iter().zip(self.expected.iter().cycle()) {
            let seen = seen.load(Relaxed);
            let missing = expected & !seen;
            counts.missing += u64::from(missing.count_ones());
            counts.torn_traces += u64::from(missing != 0 && seen != 0);
        }
        counts
    }
}

impl Counts {
    /// Whether exactly the expected spans arrived, each once.
    pub fn is_exact(&self) -> bool {
        self.missing == 0 && self.doubled == 0 && self.unwanted == 0 && self.foreign == 0
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} spans in {} requests",
            self.expected - self.missing,
            self.expected,
            self.requests
        )?;
        if self.compressed > 0 {
            write!(f, " ({} compressed)", self.compressed)?;
        }
        let wrong = [
            (self.missing, "missing"),
            (self.torn_traces, "traces torn"),
            (self.doubled, "doubled"),
            (self.unwanted, "that had to be dropped"),
            (self.foreign, "never sent"),
        ];
        wrong
            .iter()
            .filter(|(count, _)| *count > 0)
            .try_for_each(|(count, what)| write!(f, ", {count} {what}"))
    }
}

/// The lowest `spans` bits.
fn all_spans(spans: u16) -> u64 {
    u64::MAX.checked_shr(64 - u32::from(spans)).unwrap_or(0)
}
