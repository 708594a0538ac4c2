//! What playing a scenario means, and what comes of it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::case::Case;
use crate::corpus::{Scenario, Step};

/// The scenario's steps, each with how long it waits in this case.
pub fn waits<'a>(case: &Case, scenario: &'a Scenario) -> impl Iterator<Item = (&'a Step, Duration)> {
    let (last, case_settle, at_end) = (scenario.steps.len() - 1, case.settle, case.settle_at_end);
    scenario.steps.iter().enumerate().map(move |(number, step)| match step {
        Step::Send(_) => (step, Duration::ZERO),
        Step::Pause(pause) => (step, *pause),
        Step::Settle if number == last => (step, at_end),
        Step::Settle => (step, case_settle),
    })
}

/// The spans that came out, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Bit n is span number n.
    bits: Vec<u8>,
    /// How many came out, copies included.
    pub spans: usize,
}

impl Kept {
    /// None of `spans` spans.
    #[must_use]
    pub fn new(spans: usize) -> Self {
        Self { bits: vec![0; spans.div_ceil(8)], spans: 0 }
    }

    /// From its parts; bytes that `bits` lacks are 0.
    #[must_use]
    pub fn from_bits(mut bits: Vec<u8>, count: usize, spans: usize) -> Self {
        bits.resize(spans.div_ceil(8), 0);
        Self { bits, spans: count }
    }

    /// The bits without zero bytes at the end.
    #[must_use]
    pub fn bits(&self) -> &[u8] {
        let len = self.bits.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        &self.bits[..len]
    }

    /// Spans came out.
    pub fn add(&mut self, numbers: &[usize]) {
        for number in numbers {
            if let Some(byte) = self.bits.get_mut(number / 8) {
                *byte |= 1 << (number % 8);
            }
        }
        self.spans += numbers.len();
    }

    /// Whether span `number` came out.
    #[must_use]
    pub fn has(&self, number: usize) -> bool {
        self.bits.get(number / 8).is_some_and(|byte| byte >> (number % 8) & 1 == 1)
    }

    /// The numbers of the traces of which a span came out.
    #[must_use]
    pub fn traces(&self, scenario: &Scenario) -> BTreeSet<usize> {
        let kept = |(number, trace): (usize, &crate::corpus::Trace)| {
            trace.spans.iter().any(|span| self.has(*span)).then_some(number)
        };
        scenario.traces.iter().enumerate().filter_map(kept).collect()
    }

    /// The numbers of the traces of which other spans came out than there.
    #[must_use]
    pub fn differing(&self, other: &Self, scenario: &Scenario) -> Vec<usize> {
        let differs = |spans: &BTreeSet<usize>| spans.iter().any(|span| self.has(*span) != other.has(*span));
        let traces = scenario.traces.iter().enumerate();
        traces.filter(|(_, trace)| differs(&trace.spans)).map(|(number, _)| number).collect()
    }
}
