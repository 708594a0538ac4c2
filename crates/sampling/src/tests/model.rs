//! A naive sampler: decoded spans in plain lists, searched from the front.

use std::collections::{BTreeMap, VecDeque};

use opentelemetry_proto::tonic::trace::v1::{Span, span};
use prost::Message;

use super::support::*;
use crate::{PolicyConfig, SamplerConfig, Trigger, Verdict};

pub(crate) fn resource(number: usize) -> Vec<(&'static str, Value)> {
    match number {
        0 => vec![("service.name", text("planner"))],
        1 => vec![("service.name", text("tool")), ("p", text("b"))],
        _ => vec![("n", Value::IntValue(-1))],
    }
}

/// The conditions that tests use, by text; none is an error.
fn condition(text: &str, (number, scope, span): &HeldSpan, event: Option<&span::Event>) -> Option<bool> {
    let on_span = |key: &str| {
        let found = span.attributes.iter().find(|attribute| attribute.key == key);
        found.and_then(|attribute| attribute.value.clone()?.value)
    };
    Some(match text {
        r#"attributes["p"] == "a""# => on_span("p") == Some(super::support::text("a")),
        r#"attributes["n"] > 3"# => matches!(on_span("n"), Some(Value::IntValue(n)) if n > 3),
        r#"HasPrefix(attributes["p"], "b")"# => match on_span("p")? {
            Value::StringValue(text) => text.starts_with('b'),
            _ => return None,
        },
        r#"resource.attributes["p"] == "b" and scope.name == "http""# => *number == 1 && *scope == 1,
        r#"name == "retry" and span.status.code == STATUS_CODE_ERROR"# => {
            event?.name == "retry" && span.status.as_ref().is_some_and(|status| status.code == 2)
        }
        r#"Int(attributes["left"]) / Int(span.attributes["n"]) == 1"# => {
            let event_value = event?.attributes.iter().find(|attribute| attribute.key == "left");
            let left = event_value.and_then(|attribute| attribute.value.clone()?.value);
            match (left?, on_span("n")?) {
                (Value::IntValue(left), Value::IntValue(n)) => left.checked_div(n)? == 1,
                _ => return None,
            }
        }
        other => panic!("{other}"),
    })
}

/// Numbers of resource and scope, and the span.
pub(crate) type HeldSpan = (usize, usize, Span);

#[derive(Clone, Default)]
struct NaiveTrace {
    id: Vec<u8>,
    /// In the order in which traces came.
    number: usize,
    first_seen: u64,
    last_seen: u64,
    has_root: bool,
    /// Parents that were missing when the root was due.
    open: Vec<Vec<u8>>,
    rank: Option<usize>,
    touched: bool,
    /// Dropped, and held until then.
    retained: Option<u64>,
    spans: Vec<HeldSpan>,
    /// The number of the batch that each span came in.
    batches: Vec<usize>,
    /// All spans, also those that are not in this part of the trace.
    count: usize,
    /// With `span_ingest`: a batch is to be evaluated, what that came to, and who would keep the trace.
    batch_open: bool,
    outcome: Option<(Verdict, Option<String>)>,
    keep: Option<String>,
}

/// What a limit has left, in thousandths, and when: by policy name.
type Buckets = BTreeMap<String, (i64, u64)>;

/// Id, verdict, policy, spans, trigger.
pub(crate) type NaiveDecision = (Vec<u8>, Verdict, Option<String>, usize, Trigger);

/// The reference: lists, searched from the front.
pub(crate) struct Naive {
    policies: Vec<PolicyConfig>,
    config: SamplerConfig,
    pub(crate) now: u64,
    /// Deadlines of traces whose roots have come, in the order in which they were set.
    roots: Vec<(u64, usize)>,
    /// Undecided and retained traces as they came.
    held: Vec<NaiveTrace>,
    /// Undecided and retained traces by class, in the order in which they yield.
    queues: [Vec<Vec<Vec<u8>>>; 2],
    /// Ids in the order in which they were dropped and retained.
    retained_order: Vec<usize>,
    numbers: usize,
    /// Most recently used last.
    remembered: [VecDeque<Vec<u8>>; 2],
    pub(crate) decisions: Vec<NaiveDecision>,
    pub(crate) sent: Vec<HeldSpan>,
    pub(crate) seen: Vec<HeldSpan>,
    buckets: Buckets,
    batches: usize,
}

impl Naive {
    pub(crate) fn new(policies: Vec<PolicyConfig>, config: SamplerConfig) -> Self {
        Self {
            policies,
            queues: std::array::from_fn(|_| vec![Vec::new(); config.priority.order.len()]),
            config,
            now: 0,
            roots: Vec::new(),
            retained_order: Vec::new(),
            numbers: 0,
            held: Vec::new(),
            remembered: Default::default(),
            decisions: Vec::new(),
            sent: Vec::new(),
            seen: Vec::new(),
            buckets: Buckets::new(),
            batches: 0,
        }
    }

    pub(crate) fn flush(&mut self) {
        while let Some(at) = self.held.iter().position(|trace| trace.retained.is_none()) {
            self.decide(at, Trigger::Shutdown);
        }
        while !self.held.is_empty() {
            self.release_least();
        }
    }

    fn class(&self, trace: &NaiveTrace) -> usize {
        trace.rank.unwrap_or(self.config.priority.unset)
    }

    fn bytes(trace: &NaiveTrace) -> u64 {
        trace.spans.iter().map(|(_, _, span)| span.encoded_len() as u64).sum()
    }

    fn dequeue(&mut self, id: &[u8]) {
        for queue in self.queues.iter_mut().flatten() {
            queue.retain(|other| other != id);
        }
    }

    fn enqueue(&mut self, at: usize) {
        let trace = &self.held[at];
        let (state, class, id) = (usize::from(trace.retained.is_some()), self.class(trace), trace.id.clone());
        self.queues[state][class].push(id);
    }

    fn remove(&mut self, at: usize) -> NaiveTrace {
        let trace = self.held.remove(at);
        self.dequeue(&trace.id);
        trace
    }

    fn raise_priority(&mut self, at: usize, value: &str) {
        let Some(rank) = self.config.priority.order.iter().position(|known| known == value) else { return };
        let trace = &mut self.held[at];
        if trace.rank.is_some_and(|before| before <= rank) {
            return;
        }
        let (before, after) = (trace.rank.unwrap_or(self.config.priority.unset), rank);
        trace.rank = Some(rank);
        if before != after {
            let id = trace.id.clone();
            self.dequeue(&id);
            self.enqueue(at);
        }
    }

    /// The first of a class to yield: those that spans came for go to the end once.
    fn first_to_yield(&mut self, state: usize, class: usize) -> Option<usize> {
        loop {
            let id = self.queues[state][class].first()?.clone();
            let at = self.held.iter().position(|trace| trace.id == id).unwrap();
            if !std::mem::take(&mut self.held[at].touched) {
                return Some(at);
            }
            self.queues[state][class].rotate_left(1);
        }
    }

    fn evict(&mut self, trigger: Trigger) {
        let holds = |class: usize| -> u64 {
            let traces =
                self.held.iter().filter(|trace| trace.retained.is_none() && self.class(trace) == class);
            traces.map(Self::bytes).sum()
        };
        let floor = |class: usize| self.config.priority.floors.get(class).copied().unwrap_or(0);
        let classes: Vec<usize> =
            (0..self.queues[0].len()).rev().filter(|&class| !self.queues[0][class].is_empty()).collect();
        let above = classes.iter().copied().find(|&class| holds(class) > floor(class));
        let at = self.first_to_yield(0, above.unwrap_or(classes[0])).unwrap();
        self.decide(at, trigger);
    }

    /// Lets go of the retained trace that matters least.
    fn release_least(&mut self) {
        let at = (0..self.queues[1].len()).rev().find_map(|class| self.first_to_yield(1, class)).unwrap();
        self.release(at);
    }

    fn release(&mut self, at: usize) {
        let trace = self.remove(at);
        self.remember(&trace, Verdict::Dropped);
    }

    fn fit_retained(&mut self) {
        let Some(retain) = self.config.retain_dropped else { return };
        let bytes = |held: &[NaiveTrace]| -> u64 {
            held.iter().filter(|trace| trace.retained.is_some()).map(Self::bytes).sum()
        };
        while bytes(&self.held) > retain.bytes {
            self.release_least();
        }
    }

    /// Parents that are named and have not come.
    fn open_parents(trace: &NaiveTrace) -> Vec<Vec<u8>> {
        let named = trace.spans.iter().map(|(_, _, span)| &span.parent_span_id);
        let has_come = |id: &Vec<u8>| trace.spans.iter().any(|(_, _, span)| span.span_id == *id);
        named.filter(|id| !id.is_empty() && !has_come(id)).cloned().collect()
    }

    /// The spans that make up the last run have come for a retained trace.
    fn reconsider(&mut self, at: usize) {
        let (now, buckets, trace) = (self.now, &mut self.buckets, &self.held[at]);
        let (drops, keeps): (Vec<_>, Vec<_>) =
            self.policies.iter().partition(|policy| policy.r#type == "drop");
        let mut matches = |policy: &&&PolicyConfig| Self::matches(policy, trace, now, buckets);
        let dropped = drops.iter().find(&mut matches).map(|policy| (Verdict::Dropped, policy.name.clone()));
        let kept = || keeps.iter().find(matches).map(|policy| (Verdict::Kept, policy.name.clone()));
        if let Some((verdict, policy)) = dropped.or_else(kept) {
            self.conclude(at, verdict, Some(policy), Trigger::LateSpans);
        }
    }

    /// A trace's size as the collector counts it: encoded by batch, with what it writes even when empty.
    fn size(trace: &NaiveTrace, framed_batches: bool) -> i64 {
        let numbered: Vec<_> = trace.batches.iter().zip(&trace.spans).collect();
        let batches = numbered.chunk_by(|a, b| a.0 == b.0).map(|batch| {
            let (resource, scope, _) = batch[0].1;
            let mut encoded =
                resource_spans(&super::model::resource(*resource), ["sdk", "http"][*scope], Vec::new());
            encoded.schema_url.clear();
            encoded.scope_spans[0].schema_url.clear();
            let mut scope_spans = encoded.scope_spans.remove(0);
            let framed: fn(usize) -> usize = |len| 1 + prost::length_delimiter_len(len) + len;
            let span = |span: &Span| {
                span.encoded_len()
                    + 2 * (usize::from(span.parent_span_id.is_empty()) + usize::from(span.status.is_none()))
            };
            let spans: usize = batch.iter().map(|(_, held)| framed(span(&held.2))).sum();
            scope_spans.spans.clear();
            let outer = if framed_batches { framed } else { |len| len };
            outer(encoded.encoded_len() + framed(scope_spans.encoded_len() + spans))
        });
        batches.sum::<usize>() as i64
    }

    /// Takes from a bucket that starts full; both in thousandths, which a clock of milliseconds fills evenly.
    fn take(buckets: &mut Buckets, name: &str, now: u64, rate: i64, burst: i64, amount: i64) -> bool {
        let burst = if burst > 0 { burst } else { 2 * rate };
        let (left, at) = *buckets.get(name).unwrap_or(&(burst * 1000, 0));
        let left = (left + (now - at) as i64 / 1_000_000 * rate).min(burst * 1000);
        let passes = amount * 1000 <= left;
        if passes {
            buckets.insert(name.to_owned(), (left - amount * 1000, now));
        }
        passes
    }

    fn matches(policy: &PolicyConfig, trace: &NaiveTrace, now: u64, buckets: &mut Buckets) -> bool {
        Self::ask(policy, trace, now, buckets) == Some(true)
    }

    /// None when the policy cannot be evaluated.
    fn ask(policy: &PolicyConfig, trace: &NaiveTrace, now: u64, buckets: &mut Buckets) -> Option<bool> {
        let (id, spans) = (trace.id.as_slice(), trace.spans.as_slice());
        let attribute = |key: &str| -> Vec<Value> {
            let on_resources = spans.iter().flat_map(|(number, ..)| resource(*number));
            let on_resources = on_resources.filter(|(name, _)| *name == key).map(|(_, value)| value);
            let on_spans = spans.iter().flat_map(|(_, _, span)| &span.attributes).filter(|kv| kv.key == key);
            let on_spans = on_spans.filter_map(|kv| kv.value.clone()?.value);
            on_resources.chain(on_spans).collect()
        };
        Some(match policy.r#type.as_str() {
            "always_sample" => true,
            "string_attribute" => {
                let config = policy.string_attribute.as_ref().unwrap();
                let matched = attribute(&config.key).iter().any(|value| match value {
                    Value::StringValue(text) if config.enabled_regex_matching => {
                        config.values.iter().any(|regex| regex::Regex::new(regex).unwrap().is_match(text))
                    }
                    Value::StringValue(text) => config.values.contains(text),
                    _ => false,
                });
                matched != config.invert_match
            }
            "numeric_attribute" => {
                let config = policy.numeric_attribute.as_ref().unwrap();
                let (min, max) = (config.min_value.unwrap_or(i64::MIN), config.max_value.unwrap_or(i64::MAX));
                let inside = |value: &Value| matches!(value, Value::IntValue(n) if (min..=max).contains(n));
                attribute(&config.key).iter().any(inside) != config.invert_match
            }
            "boolean_attribute" => {
                let config = policy.boolean_attribute.as_ref().unwrap();
                attribute(&config.key).contains(&Value::BoolValue(config.value)) != config.invert_match
            }
            "status_code" => {
                let codes = &policy.status_code.as_ref().unwrap().status_codes;
                spans.iter().any(|(_, _, span)| {
                    let code = span.status.as_ref().map_or(0, |status| status.code) as usize;
                    codes.contains(&["UNSET", "OK", "ERROR"][code].to_owned())
                })
            }
            "latency" => {
                let config = policy.latency.as_ref().unwrap();
                let started = || spans.iter().map(|(_, _, s)| s).filter(|span| span.start_time_unix_nano > 0);
                let start = started().map(|span| span.start_time_unix_nano).min();
                let Some(start) = start else { return Some(false) };
                let end = started().map(|span| span.end_time_unix_nano).max().unwrap();
                let millis = (end as i64 - start as i64) / 1_000_000;
                let below = config.upper_threshold_ms == 0 || millis <= config.upper_threshold_ms;
                millis > config.threshold_ms && below
            }
            "probabilistic" => {
                let config = policy.probabilistic.as_ref().unwrap();
                let share = crate::probabilistic::Share::new(&config.hash_salt, config.sampling_percentage);
                share.keeps(id.try_into().unwrap())
            }
            "and" => {
                let list = &policy.and.as_ref().unwrap().and_sub_policy;
                let answers = list.iter().map(|sub| Self::ask(sub, trace, now, buckets));
                return { answers }.find(|answer| *answer != Some(true)).unwrap_or(Some(true));
            }
            "drop" => {
                let list = &policy.drop.as_ref().unwrap().drop_sub_policy;
                let answers = list.iter().map(|sub| Self::ask(sub, trace, now, buckets));
                return { answers }.find(|answer| *answer != Some(true)).unwrap_or(Some(true));
            }
            "not" => {
                let inner = policy.not.as_ref().unwrap().not_sub_policy.as_ref().unwrap();
                !Self::ask(inner, trace, now, buckets)?
            }
            "rate_limiting" => {
                let config = policy.rate_limiting.as_ref().unwrap();
                let (rate, burst) = (config.spans_per_second, config.burst_capacity);
                Self::take(buckets, &policy.name, now, rate, burst, spans.len() as i64)
            }
            "composite" => {
                let config = policy.composite.as_ref().unwrap();
                let subs = &config.composite_sub_policy;
                let ordered =
                    config.policy_order.iter().map(|name| subs.iter().find(|sub| sub.name == *name).unwrap());
                let rest = subs.iter().filter(|sub| !config.policy_order.contains(&sub.name));
                let all = ordered.chain(rest).map(|sub| (sub, Self::ask(sub, trace, now, buckets)));
                let Some((sub, answer)) = { all }.find(|(_, answer)| *answer != Some(false)) else {
                    return Some(false);
                };
                answer?;
                let allocation =
                    config.rate_allocation.iter().find(|allocation| allocation.policy == sub.name);
                let total = config.max_total_spans_per_second;
                let part = allocation.map_or(0, |allocation| match allocation.percent {
                    0 => total / subs.len() as i64,
                    percent => percent * total / 100,
                });
                let (second, key) = (now / 1_000_000_000, format!("{}/{}", policy.name, sub.name));
                let taken = buckets.get(&key).filter(|(_, at)| *at == second).map_or(0, |(taken, _)| *taken);
                let taken = taken + trace.count as i64;
                let passes = taken <= part.min(total);
                if passes {
                    buckets.insert(key, (taken, second));
                }
                passes
            }
            "bytes_limiting" => {
                let config = policy.bytes_limiting.as_ref().unwrap();
                let (rate, burst) = (config.bytes_per_second, config.burst_capacity);
                Self::take(buckets, &policy.name, now, rate, burst, Self::size(trace, true))
            }
            "span_count" => {
                let config = policy.span_count.as_ref().unwrap();
                let count = trace.count as i32;
                count >= config.min_spans && (config.max_spans == 0 || count <= config.max_spans)
            }
            "trace_flags" => spans.iter().any(|(_, _, span)| span.flags & 1 == 1),
            "trace_state" => {
                let config = policy.trace_state.as_ref().unwrap();
                let wanted = |state: &str| {
                    config.values.iter().any(|value| {
                        state.split(',').any(|member| member == format!("{}={value}", config.key))
                    })
                };
                // The test's only invalid list has an upper case key.
                spans
                    .iter()
                    .map(|(_, _, span)| &*span.trace_state)
                    .any(|state| wanted(state) && !state.contains('K'))
            }
            "ottl_condition" => {
                let config = policy.ottl_condition.as_ref().unwrap();
                for held in spans {
                    let events = held.2.events.iter().map(Some);
                    let on_events =
                        events.flat_map(|event| config.spanevent.iter().map(move |text| (text, event)));
                    for (text, event) in config.span.iter().map(|text| (text, None)).chain(on_events) {
                        match condition(text, held, event) {
                            Some(true) => return Some(true),
                            None if config.error_mode == "propagate" => return None,
                            _ => {}
                        }
                    }
                }
                false
            }
            other => panic!("{other}"),
        })
    }

    /// Evaluates the open batch of a trace by itself.
    fn evaluate_batch(&mut self, at: usize) {
        let (now, buckets, trace) = (self.now, &mut self.buckets, &mut self.held[at]);
        if !std::mem::take(&mut trace.batch_open) {
            return;
        }
        let last = *trace.batches.last().unwrap();
        let from = trace.batches.iter().position(|batch| *batch == last).unwrap();
        let part = NaiveTrace {
            spans: trace.spans[from..].to_vec(),
            batches: trace.batches[from..].to_vec(),
            ..trace.clone()
        };
        let (drops, keeps): (Vec<_>, Vec<_>) =
            self.policies.iter().partition(|policy| policy.r#type == "drop");
        let mut matches = |policy: &&&PolicyConfig| Self::matches(policy, &part, now, buckets);
        if let Some(policy) = drops.iter().find(&mut matches) {
            trace.outcome = Some((Verdict::Dropped, Some(policy.name.clone())));
            return;
        }
        if trace.keep.is_none() {
            trace.keep = keeps.iter().find(matches).map(|policy| policy.name.clone());
        }
        if drops.is_empty() && trace.keep.is_some() {
            trace.outcome = Some((Verdict::Kept, trace.keep.clone()));
        }
    }

    /// The end of a `ResourceSpans`.
    fn end_batches(&mut self, ids: &[Vec<u8>]) {
        for id in ids {
            let Some(at) = self.held.iter().position(|trace| trace.id == *id) else { continue };
            self.evaluate_batch(at);
            if self.held[at].outcome.is_some() {
                self.decide(at, Trigger::SpanIngest);
            }
        }
    }

    fn decide(&mut self, at: usize, trigger: Trigger) {
        if self.config.span_ingest && trigger != Trigger::TooLarge {
            self.evaluate_batch(at);
            let trace = &self.held[at];
            let pending = trace
                .keep
                .as_ref()
                .map_or((Verdict::Dropped, None), |name| (Verdict::Kept, Some(name.clone())));
            let (verdict, policy) = trace.outcome.clone().unwrap_or(pending);
            return self.conclude(at, verdict, policy, trigger);
        }
        let trace = &self.held[at];
        let (now, buckets) = (self.now, &mut self.buckets);
        let most = if self.config.sample_on_first_match { 1 } else { usize::MAX };
        let (drops, keeps): (Vec<_>, Vec<_>) =
            self.policies.iter().partition(|policy| policy.r#type == "drop");
        let mut matches = |policy: &&&PolicyConfig| Self::matches(policy, trace, now, buckets);
        let dropping = (trigger != Trigger::TooLarge).then(|| drops.iter().find(&mut matches));
        let (verdict, policy) = match dropping {
            None => (Verdict::Dropped, None),
            Some(Some(policy)) => (Verdict::Dropped, Some(policy.name.clone())),
            // All are asked, whoever comes first, unless told otherwise.
            Some(None) => match keeps.iter().filter(matches).take(most).collect::<Vec<_>>().first() {
                Some(policy) => (Verdict::Kept, Some(policy.name.clone())),
                None => (Verdict::Dropped, None),
            },
        };
        self.conclude(at, verdict, policy, trigger);
    }

    fn conclude(&mut self, at: usize, verdict: Verdict, policy: Option<String>, trigger: Trigger) {
        let trace = &self.held[at];
        self.decisions.push((trace.id.clone(), verdict, policy.clone(), trace.spans.len(), trigger));
        let (id, was_retained) = (trace.id.clone(), trace.retained.is_some());
        let may_turn = verdict == Verdict::Dropped
            && policy.is_none()
            && !matches!(trigger, Trigger::Shutdown | Trigger::TooLarge)
            && !was_retained;
        let bytes = Self::bytes(trace);
        if let Some(retain) = self.config.retain_dropped.filter(|retain| may_turn && bytes <= retain.bytes) {
            self.dequeue(&id);
            let trace = &mut self.held[at];
            trace.retained = Some(self.now + crate::sampler::nanos(retain.time));
            trace.touched = false;
            self.enqueue(at);
            self.retained_order.push(self.held[at].number);
            return self.fit_retained();
        }
        let trace = self.remove(at);
        self.remember(&trace, verdict);
        if verdict == Verdict::Kept {
            self.sent.extend(trace.spans);
        }
    }

    fn remember(&mut self, trace: &NaiveTrace, verdict: Verdict) {
        let (sampled, not_sampled) = (self.config.sampled_cache_size, self.config.non_sampled_cache_size);
        let (list, size) = if verdict == Verdict::Kept { (0, sampled) } else { (1, not_sampled) };
        self.remembered[list].push_back(trace.id.clone());
        if self.remembered[list].len() > size {
            self.remembered[list].pop_front();
        }
    }

    pub(crate) fn ingest(&mut self, spans: &[HeldSpan]) {
        self.seen.extend_from_slice(spans);
        // The spans of a trace in one scope are taken together, where the first of them stands.
        let mut together = Vec::new();
        for scope in spans.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let mut ids: Vec<&Vec<u8>> = Vec::new();
            for (_, _, span) in scope {
                if !ids.contains(&&span.trace_id) {
                    ids.push(&span.trace_id);
                }
            }
            for id in ids {
                together.extend(scope.iter().filter(|(_, _, span)| span.trace_id == *id).cloned());
            }
        }
        let spans = &together[..];
        let mut context = None;
        let mut ids: Vec<Vec<u8>> = Vec::new();
        for (number, span) in spans.iter().enumerate() {
            if context.replace((span.0, span.1)) != Some((span.0, span.1)) {
                self.batches += 1;
                if self.config.span_ingest {
                    self.end_batches(&std::mem::take(&mut ids));
                }
            }
            if !ids.contains(&span.2.trace_id) {
                ids.push(span.2.trace_id.clone());
            }
            let id = &span.2.trace_id;
            let same_run = |other: &HeldSpan| (other.0, other.1, &other.2.trace_id) == (span.0, span.1, id);
            let begins = !number.checked_sub(1).is_some_and(|before| same_run(&spans[before]));
            let ends = !spans.get(number + 1).is_some_and(same_run);
            let known = self.remembered.iter().position(|list| list.contains(id));
            if let Some(list) = known {
                self.remembered[list].retain(|other| other != id);
                self.remembered[list].push_back(id.clone());
                if list == 0 {
                    self.sent.push(span.clone());
                }
                continue;
            }
            let is_new = !self.held.iter().any(|trace| trace.id == *id);
            if is_new {
                let undecided = self.held.iter().filter(|trace| trace.retained.is_none()).count();
                if undecided == self.config.num_traces {
                    self.evict(Trigger::EvictedNumTraces);
                }
                let (id, first_seen) = (id.clone(), self.now);
                self.numbers += 1;
                let number = self.numbers;
                self.held.push(NaiveTrace { id, number, first_seen, ..NaiveTrace::default() });
                self.enqueue(self.held.len() - 1);
            }
            let at = self.held.iter().position(|trace| trace.id == *id).unwrap();
            if begins {
                self.held[at].last_seen = self.now;
                self.held[at].touched = self.config.idle_timeout.is_some() && !is_new;
                let key = self.config.priority.key.clone();
                for (name, value) in resource(span.0) {
                    if let (true, Value::StringValue(value)) = (name == key, value) {
                        self.raise_priority(at, &value);
                    }
                }
            }
            let of_span =
                span.2.attributes.iter().find(|attribute| attribute.key == self.config.priority.key);
            if let Some(Value::StringValue(value)) =
                of_span.and_then(|attribute| attribute.value.clone()?.value)
            {
                self.raise_priority(at, &value);
            }
            let trace = &mut self.held[at];
            trace.spans.push(span.clone());
            trace.batches.push(self.batches);
            trace.count += 1;
            trace.batch_open = true;
            let is_root = span.2.parent_span_id.is_empty();
            let is_first_root = is_root && !trace.has_root;
            trace.has_root |= is_root;
            let waited = trace.open.len();
            trace.open.retain(|open| *open != span.2.span_id);
            let closed_last = waited > 0 && trace.open.is_empty();
            if let (true, Some(wait)) =
                (is_first_root || closed_last, self.config.decision_wait_after_root_received)
            {
                self.roots.push((self.now + crate::sampler::nanos(wait), self.held[at].number));
            }
            if !ends {
                continue;
            }
            let most = self.config.maximum_trace_size;
            if self.held[at].retained.is_some() {
                self.reconsider(at);
                self.fit_retained();
            } else if most.is_some_and(|most| Self::size(&self.held[at], false) > most as i64) {
                self.decide(at, Trigger::TooLarge);
            }
        }
        if self.config.span_ingest {
            self.end_batches(&ids);
        }
    }

    pub(crate) fn tick(&mut self) {
        while self.release_expired() || self.decide_due() {}
    }

    fn release_expired(&mut self) -> bool {
        let now = self.now;
        let expired = |number: &usize| {
            let at =
                self.held.iter().position(|trace| trace.number == *number && trace.retained.is_some())?;
            self.held[at].retained.is_some_and(|until| until <= now).then_some(at)
        };
        let found = self.retained_order.iter().find_map(expired);
        found.is_some_and(|at| {
            self.release(at);
            true
        })
    }

    fn decide_due(&mut self) -> bool {
        let now = self.now;
        let nanos = crate::sampler::nanos;
        let wait = nanos(self.config.decision_wait);
        let idle = self.config.idle_timeout.map(nanos);
        while let Some(found) = self.roots.iter().position(|(due, _)| *due <= now) {
            let (_, number) = self.roots.remove(found);
            let undecided = |trace: &NaiveTrace| trace.number == number && trace.retained.is_none();
            let Some(at) = self.held.iter().position(undecided) else { continue };
            let open = if idle.is_some() { Self::open_parents(&self.held[at]) } else { Vec::new() };
            if open.is_empty() {
                self.decide(at, Trigger::RootReceived);
                return true;
            }
            self.held[at].open = open;
        }
        let undecided = || self.held.iter().enumerate().filter(|(_, trace)| trace.retained.is_none());
        let (most, trigger) = match idle {
            None => (wait, Trigger::DecisionWait),
            Some(_) => (self.config.max_trace_age.map_or(u64::MAX, nanos), Trigger::MaxTraceAge),
        };
        let aged = undecided().find(|(_, trace)| trace.first_seen.saturating_add(most) <= now);
        if let Some((at, _)) = aged {
            self.decide(at, trigger);
            return true;
        }
        let Some(idle) = idle else { return false };
        let due = |trace: &NaiveTrace| (trace.first_seen + wait).max(trace.last_seen + idle);
        let quiet = undecided().filter(|(_, trace)| due(trace) <= now).min_by_key(|(_, trace)| due(trace));
        let Some((at, _)) = quiet else { return false };
        self.decide(at, Trigger::Idle);
        true
    }
}
