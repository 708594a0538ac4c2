//! Policies that are not made of others.

use regex::bytes::RegexBuilder;

use super::Compiler;
use crate::condition::{Conditions, ERROR_MODES, ErrorMode};
use crate::config::{
    OttlConditionConfig, PolicyConfig, SpanCountConfig, StringAttributeConfig, TraceStateConfig,
};
use crate::limits::{Limit, Unit};
use crate::policy::Term;
use crate::predicate::{AttributeTest, Patterns, Values};
use crate::probabilistic::Share;
use crate::trace_state::{TraceStateTest, is_key};
use forebay_ottl::{Condition, ContextKind, re2};

/// How many values remember their regular expression result when `cache_max_size` is 0.
const DEFAULT_CACHE_SIZE: usize = 128;

impl Compiler {
    /// The path stands at the policy's section.
    pub(super) fn leaf(&mut self, kind: &str, config: &PolicyConfig) -> Option<Term> {
        match kind {
            "always_sample" => Some(Term::Always),
            "latency" => {
                self.set.uses_latency = true;
                let latency = config.latency.clone().unwrap_or_default();
                let upper = (latency.upper_threshold_ms != 0).then_some(latency.upper_threshold_ms);
                Some(Term::Latency { lower: latency.threshold_ms, upper })
            }
            "probabilistic" => {
                let settings = config.probabilistic.clone().unwrap_or_default();
                if !settings.sampling_percentage.is_finite() {
                    self.error_at("sampling_percentage", "must be a number of percent, 0 to 100");
                    return None;
                }
                self.set.shares.push(Share::new(&settings.hash_salt, settings.sampling_percentage));
                Some(Term::Share(self.set.shares.len() - 1))
            }
            "status_code" => self.status(&config.status_code.as_ref()?.status_codes),
            "string_attribute" => self.string(config.string_attribute.as_ref()?),
            "numeric_attribute" => {
                let settings = config.numeric_attribute.as_ref()?;
                if let (Some(min), Some(max)) = (settings.min_value, settings.max_value)
                    && min > max
                {
                    self.error_at(
                        "max_value",
                        &format!("is below min_value ({max} < {min}), so nothing can match"),
                    );
                }
                let test = AttributeTest::Number { min: settings.min_value, max: settings.max_value };
                self.attribute(&settings.key, test, settings.invert_match)
            }
            "boolean_attribute" => {
                let settings = config.boolean_attribute.as_ref()?;
                self.attribute(&settings.key, AttributeTest::Boolean(settings.value), settings.invert_match)
            }
            "span_count" => self.span_count(config.span_count.as_ref()?),
            "trace_state" => self.trace_state(config.trace_state.as_ref()?),
            "trace_flags" => Some(Term::Leaf { leaf: self.set.predicates.sampled_flag(), invert: false }),
            "ottl_condition" => self.conditions(config.ottl_condition.as_ref()?),
            "rate_limiting" => {
                let settings = config.rate_limiting.as_ref()?;
                self.limit(
                    Unit::Spans,
                    "spans_per_second",
                    settings.spans_per_second,
                    settings.burst_capacity,
                )
            }
            "bytes_limiting" => {
                let settings = config.bytes_limiting.as_ref()?;
                self.set.uses_size = true;
                self.limit(
                    Unit::Bytes,
                    "bytes_per_second",
                    settings.bytes_per_second,
                    settings.burst_capacity,
                )
            }
            _ => None,
        }
    }

    fn conditions(&mut self, settings: &OttlConditionConfig) -> Option<Term> {
        // The collector takes the names in any case.
        let named = |(name, _): &&(&str, ErrorMode)| settings.error_mode.eq_ignore_ascii_case(name);
        let error_mode = ERROR_MODES.iter().find(named).map(|(_, mode)| *mode);
        if error_mode.is_none() {
            let known = ERROR_MODES.map(|(name, _)| name).join(", ");
            self.error_at(
                "error_mode",
                &format!("unknown error mode {:?}; supported: {known}", settings.error_mode),
            );
        }
        if settings.span.is_empty() && settings.spanevent.is_empty() {
            self.error("has no condition: list one or more under span or spanevent");
        }
        let span = self.condition_list("span", &settings.span, ContextKind::Span);
        let span_event = self.condition_list("spanevent", &settings.spanevent, ContextKind::SpanEvent);
        let error_mode = error_mode?;
        let (leaf, failure) = self.set.predicates.conditions(Conditions { span, span_event, error_mode });
        Some(match failure {
            None => Term::Leaf { leaf, invert: false },
            Some(failure) => Term::Fallible { leaf, failure },
        })
    }

    fn condition_list(&mut self, key: &str, texts: &[String], context: ContextKind) -> Vec<Condition> {
        self.path.push(key.to_owned());
        let mut conditions = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            match Condition::compile(text, context) {
                Ok(condition) => conditions.push(condition),
                Err(error) => self.error_at(&index.to_string(), &format!("invalid condition: {error}")),
            }
        }
        self.path.pop();
        conditions
    }

    fn limit(&mut self, unit: Unit, key: &str, per_second: i64, burst: i64) -> Option<Term> {
        let Some(per_second) = u64::try_from(per_second).ok().filter(|rate| *rate > 0) else {
            self.error_at(key, "must be at least 1, or nothing could pass");
            return None;
        };
        let burst = u64::try_from(burst).ok().filter(|burst| *burst > 0);
        let burst = burst.unwrap_or(per_second.saturating_mul(2));
        self.set.limits.push(Limit { unit, per_second, burst });
        Some(Term::Limit(self.set.limits.len() - 1))
    }

    fn span_count(&mut self, settings: &SpanCountConfig) -> Option<Term> {
        self.set.uses_span_count = true;
        let (min, max) = (settings.min_spans, settings.max_spans);
        if max < 0 {
            self.error_at("max_spans", "is negative, so nothing can match: 0 is no upper bound");
        } else if max != 0 && max < min {
            self.error_at("max_spans", &format!("is below min_spans ({max} < {min}), so nothing can match"));
        }
        let max = u64::try_from(max).ok().filter(|max| *max > 0);
        Some(Term::SpanCount { min: u64::try_from(min).unwrap_or(0), max })
    }

    fn trace_state(&mut self, settings: &TraceStateConfig) -> Option<Term> {
        if settings.key.is_empty() {
            self.error_at("key", "is missing: name the key of the trace state to look at");
            return None;
        }
        if !is_key(&settings.key) {
            self.error_at(
                "key",
                "is no key of a W3C trace state, so nothing can match: lower case letters, \
                digits and `_-*/`, perhaps one `@`",
            );
        }
        let test = TraceStateTest::new(&settings.key, &settings.values);
        if test.is_empty() {
            self.error_at("values", "lists no value that could match: give values of 1 character or more");
        }
        Some(Term::Leaf { leaf: self.set.predicates.trace_state(test), invert: false })
    }

    fn status(&mut self, names: &[String]) -> Option<Term> {
        if names.is_empty() {
            self.error_at("status_codes", "the list is empty: give one or more of OK, ERROR, UNSET");
        }
        let mut codes = 0;
        for (index, name) in names.iter().enumerate() {
            match name.as_str() {
                "UNSET" => codes |= 1,
                "OK" => codes |= 1 << 1,
                "ERROR" => codes |= 1 << 2,
                _ => {
                    self.path.push("status_codes".to_owned());
                    let message = format!("unknown status code {name:?}, supported: OK, ERROR, UNSET");
                    self.error_at(&index.to_string(), &message);
                    self.path.pop();
                }
            }
        }
        Some(Term::Leaf { leaf: self.set.predicates.status(codes), invert: false })
    }

    fn string(&mut self, settings: &StringAttributeConfig) -> Option<Term> {
        if settings.values.iter().all(|value| value.is_empty() && !settings.enabled_regex_matching) {
            self.error_at("values", "lists no value, so nothing can match: give the values to look for");
        }
        let test = if settings.enabled_regex_matching {
            let mut regexes = Vec::new();
            for (index, source) in settings.values.iter().enumerate() {
                let compiled = re2::translate(source).and_then(|pattern| {
                    RegexBuilder::new(&pattern).build().map_err(|error| error.to_string())
                });
                match compiled {
                    Ok(regex) => regexes.push(regex),
                    Err(error) => {
                        self.path.push("values".to_owned());
                        self.error_at(
                            &index.to_string(),
                            &format!("invalid regular expression `{source}`: {error}"),
                        );
                        self.path.pop();
                    }
                }
            }
            let cache_size = usize::try_from(settings.cache_max_size).ok().filter(|&size| size > 0);
            AttributeTest::StringMatches(Patterns {
                sources: settings.values.clone(),
                regexes,
                cache_size: cache_size.unwrap_or(DEFAULT_CACHE_SIZE),
                cache: 0,
            })
        } else {
            AttributeTest::StringIn(Values::new(&settings.values))
        };
        self.attribute(&settings.key, test, settings.invert_match)
    }

    fn attribute(&mut self, key: &str, test: AttributeTest, invert: bool) -> Option<Term> {
        if key.is_empty() {
            self.error_at("key", "is missing: name the attribute to look at");
            return None;
        }
        Some(Term::Leaf { leaf: self.set.predicates.attribute(key, test), invert })
    }
}
