//! Tail sampling run offline over recorded traces: what policies would keep, and what a change of them would change.
//!
//! [`simulate`] reads recordings, merged by time, into the sampler that the agent runs, on virtual time: the newest
//! end of a span read so far. It decides on whole traces, or as the agent would have ([`Decide`]).

mod diff;
mod merge;
mod report;
mod run;
mod side;
mod table;
#[cfg(test)]
mod tests;

pub use merge::Source;
pub use report::{
    Change, Counts, Diff, Example, PerDay, PolicyReport, RecordingReport, Report, Share, SideReport, Total,
};
pub use run::{Decide, Observer, Options, SimulateError, Subject, simulate};
