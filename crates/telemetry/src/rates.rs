//! Rates of flows over the last few seconds, from samples that somebody takes once a second.

use crate::board::{ComponentSnapshot, Kind};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Rates are means over this much time.
pub const WINDOW: Duration = Duration::from_secs(5);

type Key = (Kind, String, Option<String>, &'static str);

/// The samples of the window.
#[derive(Debug, Default)]
pub struct Rates {
    samples: HashMap<Key, VecDeque<(Instant, u64)>>,
}

impl Rates {
    /// Takes a sample of every flow.
    pub fn sample(&mut self, components: &[ComponentSnapshot], now: Instant) {
        let mut seen = 0;
        for component in components {
            for flow in &component.flows {
                seen += 1;
                let samples = self.samples.entry(key(component, flow.name)).or_default();
                // A component that was built anew counts from zero again.
                if samples.back().is_some_and(|(_, total)| flow.total < *total) {
                    samples.clear();
                }
                samples.push_back((now, flow.total));
                // One sample older than the window stays: the mean is over at least the window.
                while samples.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
                    samples.pop_front();
                }
            }
        }
        if self.samples.len() > seen {
            self.samples.retain(|_, samples| samples.back().is_some_and(|(at, _)| *at == now));
        }
    }

    /// The flow's mean rate per second over the window; 0 until two samples are there.
    pub fn per_second(&self, component: &ComponentSnapshot, flow: &'static str) -> f64 {
        let Some(samples) = self.samples.get(&key(component, flow)) else { return 0.0 };
        let (Some((from, first)), Some((to, last))) = (samples.front(), samples.back()) else { return 0.0 };
        let seconds = to.duration_since(*from).as_secs_f64();
        if seconds > 0.0 { last.saturating_sub(*first) as f64 / seconds } else { 0.0 }
    }
}

fn key(component: &ComponentSnapshot, flow: &'static str) -> Key {
    (component.kind, component.id.clone(), component.pipeline.clone(), flow)
}
