//! What nobody should send, and somebody will: memory stays bounded, every span is counted, nothing hangs.

use std::sync::Arc;
use std::time::Duration;

use super::support::*;
use crate::{Action, RetainDropped, Sampler, SamplerConfig, Stats, Trigger, Verdict, compile};
use opentelemetry_proto::tonic::trace::v1::Span;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A sampler whose output is counted, not decoded.
struct Counter {
    sampler: Sampler,
    out: Vec<Action>,
    sent: u64,
    largest: usize,
    decided: u64,
}

impl Counter {
    fn new(config: SamplerConfig) -> Self {
        let set = Arc::new(compile(&critical()).unwrap());
        Self { sampler: Sampler::new(config, set, 7), out: Vec::new(), sent: 0, largest: 0, decided: 0 }
    }

    fn ingest(&mut self, request: &[u8], now: Duration) -> Stats {
        self.sampler.ingest(request, None, now, &mut self.out);
        self.take()
    }

    /// Ticks until nothing is due; how often.
    fn tick(&mut self, now: Duration) -> u32 {
        let mut ticks = 0;
        while self.sampler.next_deadline().is_some_and(|due| due <= now) {
            self.sampler.tick(now, &mut self.out);
            self.take();
            ticks += 1;
        }
        ticks
    }

    fn flush(&mut self, now: Duration) {
        let mut more = true;
        while more {
            more = self.sampler.flush(now, &mut self.out);
            self.take();
        }
    }

    fn take(&mut self) -> Stats {
        let requests: usize = self
            .out
            .iter()
            .map(|action| if let Action::Emit(emit) = action { emit.request.len() } else { 0 })
            .sum();
        self.largest = self.largest.max(requests);
        for action in self.out.drain(..) {
            match action {
                Action::Emit(emit) => self.sent += emit.spans as u64,
                Action::Decided(_) => self.decided += 1,
                Action::Late(_) => {}
            }
        }
        let stats = self.sampler.stats();
        let held = stats.spans_held + stats.spans_retained;
        assert_eq!(stats.spans_accepted, stats.spans_kept + stats.spans_dropped + held);
        stats
    }
}

/// A request of small spans whose trace and span ids are written into the encoded bytes afterwards.
struct Template {
    bytes: Vec<u8>,
    /// Where each span's trace id is.
    places: Vec<usize>,
}

impl Template {
    fn new(spans: usize) -> Self {
        let mark = [0xee; 16];
        let one = Span { trace_id: mark.to_vec(), name: "s".to_owned(), ..Span::default() };
        let bytes = request(vec![one; spans]);
        let places = (0..bytes.len() - 16).filter(|&at| bytes[at..at + 16] == mark).collect::<Vec<_>>();
        assert_eq!(places.len(), spans);
        Self { bytes, places }
    }

    fn fill(&mut self, mut id: impl FnMut(usize) -> [u8; 16]) -> &[u8] {
        for (number, &place) in self.places.iter().enumerate() {
            self.bytes[place..place + 16].copy_from_slice(&id(number));
        }
        &self.bytes
    }
}

#[test]
fn one_trace_of_five_million_spans() {
    let limit = 64 << 20;
    let mut counter = Counter::new(SamplerConfig { memory_limit: Some(limit), ..SamplerConfig::default() });
    let mut template = Template::new(10_000);
    let mut other = Template::new(1);
    let (mut peak, mut others) = (0, 0);
    for round in 0..500_u64 {
        let request = template.fill(|_| id(1));
        peak = peak.max(counter.ingest(request, Duration::from_millis(round)).memory);
        others += 1;
        let request = other.fill(|_| id(1_000 + round));
        peak = peak.max(counter.ingest(request, Duration::from_millis(round)).memory);
    }
    assert!(peak < limit + (8 << 20), "{peak}");
    counter.tick(31 * SECOND);
    let stats = counter.take();
    assert_eq!((stats.spans_accepted, stats.spans_dropped), (5_000_000 + others, 5_000_000 + others));
    assert_eq!(stats.traces_evicted, 1, "the giant; none of the others");
}

#[test]
fn a_giant_kept_trace_goes_out_in_steps() {
    let mut counter = Counter::new(SamplerConfig { early_keep: false, ..SamplerConfig::default() });
    let mut template = Template::new(10_000);
    for _ in 0..100 {
        counter.ingest(template.fill(|_| id(1)), Duration::ZERO);
    }
    let urgent = with(span(1, 1), "task.priority", text("critical"));
    counter.ingest(&request(vec![urgent, span(2, 0)]), Duration::ZERO);
    let ticks = counter.tick(30 * SECOND);
    assert!(ticks > 4, "{ticks}");
    assert!(counter.largest < 12 << 20, "{}", counter.largest);
    let stats = counter.take();
    assert_eq!((counter.sent, stats.spans_kept, stats.spans_dropped), (1_000_001, 1_000_001, 1));
    assert_eq!(counter.sampler.next_deadline(), None);
}

#[test]
fn five_million_traces_of_one_span() {
    let limit = 64 << 20;
    let config = SamplerConfig {
        memory_limit: Some(limit),
        num_traces: 10_000_000,
        sampled_cache_size: 1_000,
        non_sampled_cache_size: 100_000,
        ..SamplerConfig::default()
    };
    let mut counter = Counter::new(config);
    let mut template = Template::new(10_000);
    let mut peak = 0;
    for round in 0..500_u64 {
        let request = template.fill(|number| id(round * 10_000 + number as u64));
        peak = peak.max(counter.ingest(request, Duration::from_millis(round)).memory);
    }
    let stats = counter.take();
    assert!(stats.traces_held > 50_000, "{}", stats.traces_held);
    assert_eq!(stats.traces_new, 5_000_000);
    assert_eq!(stats.traces_dropped + stats.traces_held as u64, 5_000_000);
    // Tables that doubled and the remembered verdicts come on top of what is held.
    assert!(peak < limit + (48 << 20), "{peak}");
    counter.flush(SECOND);
    assert_eq!((counter.decided, counter.take().spans_dropped), (5_000_000, 5_000_000));
}

#[test]
fn ids_that_are_zero_or_alike_in_half_of_their_bits_are_traces_like_others() {
    let mut driver = Driver::new(SamplerConfig::default(), &critical());
    let of = |high: u64, low: u64, number: u64| {
        let mut trace_id = high.to_be_bytes().to_vec();
        trace_id.extend(low.to_be_bytes());
        Span { trace_id, ..span(0, number) }
    };
    let mut spans = vec![of(0, 0, 0)];
    spans.extend((0..500).map(|high| of(high, 1, high)));
    spans.extend((0..500).map(|low| of(7, low + 2, low)));
    spans.push(with(of(3, 1, 900), "task.priority", text("critical")));
    driver.ingest(&request(spans), Duration::ZERO);
    driver.tick(30 * SECOND);
    assert_eq!(driver.decisions.len(), 1_001);
    assert_eq!(driver.kept().into_values().collect::<Vec<_>>(), [vec![3, 900]]);
}

#[test]
fn spans_that_come_twice_or_in_any_order_go_out_as_they_came() {
    let mut driver =
        Driver::new(SamplerConfig { early_keep: false, ..SamplerConfig::default() }, &critical());
    let urgent = with(root(1), "task.priority", text("critical"));
    driver.ingest(&request(vec![span(1, 5), urgent.clone(), span(1, 2)]), Duration::ZERO);
    driver.ingest(&request(vec![span(1, 2), urgent, span(1, 5)]), SECOND);
    driver.tick(30 * SECOND);
    assert_eq!(driver.kept()[&id(1).to_vec()], [5, 0, 2, 2, 0, 5]);
    assert_eq!(driver.decisions.len(), 1);
}

#[test]
fn clocks_that_step_by_a_day_neither_hang_nor_lose() {
    let patient = SamplerConfig { idle_timeout: Some(60 * SECOND), ..SamplerConfig::default() };
    for config in [SamplerConfig::default(), patient] {
        let mut driver = Driver::new(config, &critical());
        driver.ingest(&request(vec![span(1, 0)]), DAY);
        driver.ingest(&request(vec![span(1, 1), span(2, 0)]), Duration::ZERO);
        driver.tick(SECOND);
        assert!(driver.decisions.is_empty(), "a step back stands still");
        driver.ingest(&request(vec![with(span(1, 2), "task.priority", text("high"))]), 2 * DAY);
        driver.tick(2 * DAY);
        driver.ingest(&request(vec![span(3, 0)]), DAY);
        driver.tick(2 * DAY + 60 * SECOND);
        let verdicts: Vec<_> =
            driver.decisions.iter().map(|decision| (decision.trace_id[15], decision.verdict)).collect();
        assert_eq!(verdicts.len(), 3);
        assert!(verdicts.contains(&(1, Verdict::Kept)));
        assert_eq!(driver.sampler.next_deadline(), None);
    }
}

#[test]
fn a_stop_in_each_state_accounts_for_all() {
    let config = SamplerConfig {
        idle_timeout: Some(60 * SECOND),
        decision_wait_after_root_received: Some(5 * SECOND),
        retain_dropped: Some(RetainDropped { time: 600 * SECOND, bytes: 1 << 20 }),
        early_keep: false,
        ..SamplerConfig::default()
    };
    let mut driver = Driver::new(config, &critical());
    // Dropped and retained; kept and remembered; waiting for a parent; rooted and waiting; quiet; just come.
    driver.ingest(&request(vec![span(1, 0)]), Duration::ZERO);
    driver.ingest(&request(vec![with(span(2, 0), "task.priority", text("high"))]), Duration::ZERO);
    driver.tick(60 * SECOND);
    let orphan = Span { parent_span_id: vec![9; 8], ..span(3, 1) };
    driver.ingest(&request(vec![orphan, root(3)]), 61 * SECOND);
    driver.tick(66 * SECOND);
    driver.ingest(&request(vec![root(4), span(2, 1)]), 67 * SECOND);
    driver.ingest(&request(vec![with(span(5, 0), "task.priority", text("critical"))]), 68 * SECOND);
    let stats = driver.sampler.stats();
    assert_eq!((stats.traces_held, stats.traces_retained, stats.spans_late_kept), (3, 1, 1));
    driver.flush(69 * SECOND);
    let stats = driver.sampler.stats();
    assert_eq!((stats.traces_held, stats.traces_retained), (0, 0));
    assert_eq!((stats.spans_kept, stats.spans_dropped), (3, 4));
    let at_stop = driver.decisions.iter().filter(|decision| decision.trigger == Trigger::Shutdown);
    assert_eq!(at_stop.count(), 3);
    assert_eq!(driver.sampler.next_deadline(), None);
}

#[test]
fn large_headers_that_are_not_needed_any_more_take_no_room_from_others() {
    let limit = 4 << 20;
    let mut driver =
        Driver::new(SamplerConfig { memory_limit: Some(limit), ..SamplerConfig::default() }, &critical());
    for number in 0..300 {
        let header = format!("{number} {}", "x".repeat(100_000));
        let resource = [("service.name", text("planner")), ("environment", text(&header))];
        let spans = vec![span(number, 0)];
        driver.ingest(&encode(vec![resource_spans(&resource, "sdk", spans)]), Duration::ZERO);
    }
    let held = driver.sampler.stats().traces_held;
    assert!((30..42).contains(&held), "{held}");
    let evicted = driver.sampler.stats().traces_evicted;
    driver.tick(30 * SECOND);
    driver.ingest(&request((1_000..1_100).map(|trace| span(trace, 0)).collect()), 31 * SECOND);
    let stats = driver.sampler.stats();
    assert_eq!((stats.traces_held, stats.traces_evicted), (100, evicted));
    assert!(stats.memory < limit + (1 << 20), "{}", stats.memory);
}

#[test]
fn a_span_too_large_to_be_held_makes_no_other_trace_yield() {
    let limit = 4 << 20;
    let mut driver =
        Driver::new(SamplerConfig { memory_limit: Some(limit), ..SamplerConfig::default() }, &critical());
    let padded = |trace, bytes: usize| with(span(trace, 0), "filler", text(&"x".repeat(bytes)));
    driver.ingest(&request((0..2_000).map(|trace| padded(trace, 1_000)).collect()), Duration::ZERO);
    assert_eq!(driver.sampler.stats().traces_held, 2_000);
    driver.ingest(&request(vec![padded(9_000, 3 << 20)]), SECOND);
    assert_eq!(driver.decisions.len(), 1, "the giant alone");
    assert_eq!(driver.decisions[0].trigger, Trigger::EvictedTraceSize);
    driver.ingest(&request(vec![padded(9_001, 1_000)]), SECOND);
    assert_eq!(driver.sampler.stats().traces_held, 2_001);
}

#[test]
fn many_verdicts_at_once_fall_in_steps() {
    let retain = Some(RetainDropped { time: SECOND, bytes: 1 << 30 });
    for retain_dropped in [None, retain] {
        let mut driver =
            Driver::new(SamplerConfig { retain_dropped, ..SamplerConfig::default() }, &critical());
        driver.ingest(&request((0..20_000).map(|trace| span(trace, 0)).collect()), Duration::ZERO);
        let mut out = Vec::new();
        driver.sampler.tick(30 * SECOND, &mut out);
        assert!((200..300).contains(&out.len()), "{}", out.len());
        assert!(driver.sampler.next_deadline().is_some_and(|due| due <= 30 * SECOND));
        driver.tick(31 * SECOND);
        driver.tick(32 * SECOND);
        assert_eq!(driver.sampler.stats().spans_dropped, 20_000);
        assert_eq!(driver.sampler.next_deadline(), None);
    }
}
