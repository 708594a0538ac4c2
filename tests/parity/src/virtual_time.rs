//! Plays a case to the sampler, on virtual time.

use std::time::Duration;

use forebay_processor_tail_sampling::read_sampler;
use forebay_sampling::{Action, Sampler};

use crate::case::Case;
use crate::corpus::{Scenario, Step, span_numbers};
use crate::replay::{Kept, waits};

/// A request takes this long.
const REQUEST: Duration = Duration::from_millis(1);

/// What the sampler keeps.
///
/// # Errors
/// What is wrong with the case's section, or with what came out.
pub fn play(case: &Case, scenario: &Scenario) -> Result<Kept, String> {
    let (config, policies) = read_sampler(&case.section).map_err(|errors| errors.to_string())?;
    let mut player =
        Player { sampler: Sampler::new(config, policies, 7), now: Duration::ZERO, out: Vec::new() };
    for (step, wait) in waits(case, scenario) {
        match step {
            Step::Send(request) => player.send(request),
            Step::Settle | Step::Pause(_) => player.wait_until(player.now + wait),
        }
    }
    while player.sampler.flush(player.now, &mut player.out) {}
    let mut kept = Kept::new(scenario.spans);
    for action in player.out {
        if let Action::Emit(emit) = action {
            let numbers = span_numbers(&emit.request)?;
            kept.add(&numbers);
        }
    }
    Ok(kept)
}

struct Player {
    sampler: Sampler,
    now: Duration,
    out: Vec<Action>,
}

impl Player {
    fn send(&mut self, request: &[u8]) {
        while self.sampler.is_full()
            && let Some(deadline) = self.sampler.next_deadline()
        {
            self.wait_until(deadline);
        }
        self.sampler.ingest(request, None, self.now, &mut self.out);
        self.wait_until(self.now + REQUEST);
    }

    fn wait_until(&mut self, end: Duration) {
        while let Some(deadline) = self.sampler.next_deadline()
            && deadline <= end
        {
            self.now = self.now.max(deadline);
            self.sampler.tick(self.now, &mut self.out);
        }
        self.now = self.now.max(end);
    }
}
