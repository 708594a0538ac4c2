//! From configuration to a [`PolicySet`], with an error for everything that is wrong, each at its path.

use std::sync::Arc;

use thiserror::Error;

use crate::config::PolicyConfig;
use crate::policy::{Policy, PolicySet, Term};

mod composite;
mod leaves;

/// What is wrong with one policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("policies::{}: {message}", path.join("::"))]
pub struct PolicyError {
    /// Where, from `policies` on: list indexes and keys, as in `["2", "string_attribute", "values"]`.
    pub path: Vec<String>,
    /// What is wrong, and what to do about it.
    pub message: String,
}

/// The policy types there are, as the `type` key names them. The last two may only stand in `policies` itself.
pub const POLICY_TYPES: [&str; 17] = [
    "always_sample",
    "latency",
    "numeric_attribute",
    "probabilistic",
    "status_code",
    "string_attribute",
    "boolean_attribute",
    "span_count",
    "trace_state",
    "trace_flags",
    "ottl_condition",
    "rate_limiting",
    "bytes_limiting",
    "and",
    "not",
    "composite",
    "drop",
];

/// The policy types that other policies may be made of.
fn sub_policy_types() -> &'static [&'static str] {
    POLICY_TYPES.split_last_chunk::<2>().map_or(&[], |(types, _)| types)
}

/// A type of the collector that is not supported.
const EXTENSION: &str = "extension";

/// Compiles policies for [`Sampler`](crate::Sampler)s.
///
/// # Errors
/// Everything that is wrong, in order: unknown or not yet supported types, sections missing or not matching the
/// type, names empty or used twice, empty lists, unknown status codes, regular expressions and conditions that do not
/// compile,
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
        compiler.policy(index, config);
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

    fn policy(&mut self, configured: usize, config: &PolicyConfig) {
        let name: Arc<str> = config.name.as_str().into();
        let drops = config.r#type == "drop";
        let terms = if drops {
            self.sections(config);
            let list = config.drop.as_ref().map(|drop| &drop.drop_sub_policy);
            self.list("drop", "drop_sub_policy", list)
        } else {
            self.term(config, &POLICY_TYPES).into_iter().collect()
        };
        let limited = terms.iter().any(Term::is_limited);
        self.set.policies.push(Policy { name, configured, drops, limited, terms });
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
            terms.extend(self.term(config, sub_policy_types()));
            self.path.pop();
        }
        self.path.truncate(self.path.len() - 2);
        terms
    }

    /// What a policy says about a trace; `drop` aside.
    fn term(&mut self, config: &PolicyConfig, supported: &[&str]) -> Option<Term> {
        let kind = config.r#type.as_str();
        if !supported.contains(&kind) {
            let known = kind == EXTENSION || POLICY_TYPES.contains(&kind);
            let what = match kind {
                "" => "a policy needs a type".to_owned(),
                _ if known => format!("policy type {kind:?} is not supported here"),
                _ => format!("unknown policy type {kind:?}"),
            };
            self.error_at("type", &format!("{what}; supported: {}", supported.join(", ")));
            return None;
        }
        self.sections(config);
        match kind {
            "and" => {
                let list = config.and.as_ref().map(|and| &and.and_sub_policy);
                Some(Term::All(self.list("and", "and_sub_policy", list)))
            }
            "not" => self.not(config),
            "composite" => self.composite(config.composite.as_ref()?),
            _ => {
                self.path.push(kind.to_owned());
                let term = self.leaf(kind, config);
                self.path.pop();
                term
            }
        }
    }

    fn not(&mut self, config: &PolicyConfig) -> Option<Term> {
        let Some(inner) = config.not.as_ref()?.not_sub_policy.as_deref() else {
            self.path.push("not".to_owned());
            self.error_at("not_sub_policy", "is missing: give the policy that must not match");
            self.path.pop();
            return None;
        };
        self.path.extend(["not", "not_sub_policy"].map(str::to_owned));
        let term = self.term(inner, sub_policy_types());
        self.path.truncate(self.path.len() - 2);
        Some(Term::Not(Box::new(term?)))
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
            ("span_count", config.span_count.is_some()),
            ("trace_state", config.trace_state.is_some()),
            ("and", config.and.is_some()),
            ("not", config.not.is_some()),
            ("drop", config.drop.is_some()),
            ("rate_limiting", config.rate_limiting.is_some()),
            ("bytes_limiting", config.bytes_limiting.is_some()),
            ("ottl_condition", config.ottl_condition.is_some()),
            ("composite", config.composite.is_some()),
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
                "numeric_attribute"
                    | "status_code"
                    | "string_attribute"
                    | "boolean_attribute"
                    | "span_count"
                    | "trace_state"
                    | "rate_limiting"
                    | "bytes_limiting"
                    | "ottl_condition"
                    | "composite"
                    | "not"
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
