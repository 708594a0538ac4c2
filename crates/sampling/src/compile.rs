//! From configuration to a [`PolicySet`], with an error for everything that is wrong, each at its path.

use std::sync::Arc;

use regex::bytes::RegexBuilder;
use thiserror::Error;

use crate::config::{PolicyConfig, StringAttributeConfig};
use crate::policy::{Policy, PolicySet, Term};
use crate::predicate::{AttributeTest, Patterns, Values};
use crate::probabilistic::Share;
use crate::re2;

/// What is wrong with one policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("policies::{}: {message}", path.join("::"))]
pub struct PolicyError {
    /// Where, from `policies` on: list indexes and keys, as in `["2", "string_attribute", "values"]`.
    pub path: Vec<String>,
    /// What is wrong, and what to do about it.
    pub message: String,
}

/// The policy types there are, as the `type` key names them.
pub const POLICY_TYPES: [&str; 9] = [
    "always_sample",
    "latency",
    "numeric_attribute",
    "probabilistic",
    "status_code",
    "string_attribute",
    "boolean_attribute",
    "and",
    "drop",
];

/// How many values remember their regular expression result when `cache_max_size` is 0.
const DEFAULT_CACHE_SIZE: usize = 128;

/// Types of the collector that are not supported yet.
const COLLECTOR_TYPES: [&str; 9] = [
    "rate_limiting",
    "bytes_limiting",
    "span_count",
    "trace_state",
    "ottl_condition",
    "trace_flags",
    "composite",
    "not",
    "extension",
];

/// Compiles policies for [`Sampler`](crate::Sampler)s.
///
/// # Errors
/// Everything that is wrong, in order: unknown or not yet supported types, sections missing or not matching the
/// type, names empty or used twice, empty lists, unknown status codes, regular expressions that do not compile,
/// a percentage that is not a number.
pub fn compile(policies: &[PolicyConfig]) -> Result<PolicySet, Vec<PolicyError>> {
    let mut compiler = Compiler::default();
    if policies.is_empty() {
        compiler.error("the list is empty, so every trace would be dropped: add a policy, for example {name: all, type: always_sample}");
    }
    let mut names: Vec<&str> = Vec::new();
    for (index, config) in policies.iter().enumerate() {
        compiler.path.push(index.to_string());
        if config.name.is_empty() {
            compiler.error_at("name", "a policy needs a name, which metrics and verdicts show");
        } else if names.contains(&config.name.as_str()) {
            compiler.error_at(
                "name",
                &format!("duplicate policy name {:?}: each policy needs its own", config.name),
            );
        }
        names.push(&config.name);
        compiler.policy(config);
        compiler.path.pop();
    }
    compiler.finish()
}

#[derive(Default)]
struct Compiler {
    set: PolicySet,
    path: Vec<String>,
    errors: Vec<PolicyError>,
}

impl Compiler {
    fn finish(mut self) -> Result<PolicySet, Vec<PolicyError>> {
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        // Stable: each kind stays in the configured order.
        self.set.policies.sort_by_key(|policy| !policy.drops);
        Ok(self.set)
    }

    fn policy(&mut self, config: &PolicyConfig) {
        let name: Arc<str> = config.name.as_str().into();
        let (drops, terms) = match config.r#type.as_str() {
            "and" => {
                self.sections(config);
                (
                    false,
                    self.list("and", "and_sub_policy", config.and.as_ref().map(|and| &and.and_sub_policy)),
                )
            }
            "drop" => {
                self.sections(config);
                (
                    true,
                    self.list(
                        "drop",
                        "drop_sub_policy",
                        config.drop.as_ref().map(|drop| &drop.drop_sub_policy),
                    ),
                )
            }
            _ => (false, self.term(config, &POLICY_TYPES).into_iter().collect()),
        };
        self.set.policies.push(Policy { name, drops, terms });
    }

    /// The terms of an `and` or a `drop`.
    fn list(&mut self, section: &str, key: &str, list: Option<&Vec<PolicyConfig>>) -> Vec<Term> {
        let Some(list) = list else {
            self.error_at(
                section,
                &format!("is missing: a policy of type {section} lists its policies in {section}::{key}"),
            );
            return Vec::new();
        };
        self.path.extend([section.to_owned(), key.to_owned()]);
        if list.is_empty() {
            self.error(&format!("the list is empty: a policy of type {section} needs at least one"));
        }
        let mut terms = Vec::new();
        for (index, config) in list.iter().enumerate() {
            self.path.push(index.to_string());
            terms.extend(self.term(config, &POLICY_TYPES[..7]));
            self.path.pop();
        }
        self.path.truncate(self.path.len() - 2);
        terms
    }

    /// One policy that is not made of others.
    fn term(&mut self, config: &PolicyConfig, supported: &[&str]) -> Option<Term> {
        let kind = config.r#type.as_str();
        if !supported.contains(&kind) {
            let known = COLLECTOR_TYPES.contains(&kind) || POLICY_TYPES.contains(&kind);
            let what = match kind {
                "" => "a policy needs a type".to_owned(),
                _ if known => format!("policy type {kind:?} is not supported here"),
                _ => format!("unknown policy type {kind:?}"),
            };
            self.error_at("type", &format!("{what}; supported: {}", supported.join(", ")));
            return None;
        }
        self.sections(config);
        self.path.push(kind.to_owned());
        let term = self.shared_term(kind, config);
        self.path.pop();
        term
    }

    fn shared_term(&mut self, kind: &str, config: &PolicyConfig) -> Option<Term> {
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
            _ => None,
        }
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

    /// Each section must be the type's own; most types need theirs.
    fn sections(&mut self, config: &PolicyConfig) {
        let kind = config.r#type.as_str();
        let present = [
            ("latency", config.latency.is_some()),
            ("numeric_attribute", config.numeric_attribute.is_some()),
            ("probabilistic", config.probabilistic.is_some()),
            ("status_code", config.status_code.is_some()),
            ("string_attribute", config.string_attribute.is_some()),
            ("boolean_attribute", config.boolean_attribute.is_some()),
            ("and", config.and.is_some()),
            ("drop", config.drop.is_some()),
            ("rate_limiting", config.rate_limiting.is_some()),
            ("bytes_limiting", config.bytes_limiting.is_some()),
            ("span_count", config.span_count.is_some()),
            ("trace_state", config.trace_state.is_some()),
            ("ottl_condition", config.ottl_condition.is_some()),
            ("composite", config.composite.is_some()),
            ("not", config.not.is_some()),
        ];
        for (section, present) in present {
            if present && section != kind {
                self.error_at(
                    section,
                    &format!("does not belong to a policy of type {kind:?}: remove it, or change the type"),
                );
            }
            let required = matches!(
                section,
                "numeric_attribute" | "status_code" | "string_attribute" | "boolean_attribute"
            );
            if !present && section == kind && required {
                self.error_at(section, &format!("is missing: a policy of type {kind:?} needs its settings"));
            }
        }
    }

    fn error_at(&mut self, key: &str, message: &str) {
        self.path.push(key.to_owned());
        self.error(message);
        self.path.pop();
    }

    fn error(&mut self, message: &str) {
        self.errors.push(PolicyError { path: self.path.clone(), message: message.to_owned() });
    }
}
