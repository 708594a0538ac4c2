//! The conditions of `ottl_condition` policies: evaluated on each span as it comes, until its trace has settled them.

use std::sync::Arc;

use forebay_otlp::traces::SpanView;
use forebay_ottl::{Condition, EvalError, SpanScope};

use crate::leaf_set::LeafSet;
use crate::predicate::{Predicate, Predicates};
use crate::sampler::Sampler;

/// The conditions of one policy, any of which may hold.
#[derive(Debug)]
pub(crate) struct Conditions {
    /// Each on every span.
    pub(crate) span: Vec<Condition>,
    /// Each on every event of every span.
    pub(crate) span_event: Vec<Condition>,
    pub(crate) error_mode: ErrorMode,
}

/// What an error in a condition does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorMode {
    /// It is reported; the condition does not hold.
    Ignore,
    /// The condition does not hold.
    Silent,
    /// The policy cannot be evaluated on the trace, unless it matched before.
    Propagate,
}

/// The names of the error modes.
pub(crate) const ERROR_MODES: [(&str, ErrorMode); 3] =
    [("ignore", ErrorMode::Ignore), ("silent", ErrorMode::Silent), ("propagate", ErrorMode::Propagate)];

/// Conditions that could not be evaluated, where that was to be reported (`error_mode: ignore`).
#[derive(Clone, Debug, PartialEq)]
pub struct ConditionErrors {
    /// How many there were.
    pub count: u64,
    /// The condition of the last one.
    pub condition: String,
    /// What was wrong.
    pub error: EvalError,
}

impl Conditions {
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        let texts = |list: &[Condition]| list.iter().map(|one| one.text().to_owned()).collect::<Vec<_>>();
        self.error_mode == other.error_mode
            && texts(&self.span) == texts(&other.span)
            && texts(&self.span_event) == texts(&other.span_event)
    }

    /// Whether any condition holds on a span or on one of its events; an error only with [`ErrorMode::Propagate`].
    pub(crate) fn matches(
        &self,
        at: &SpanScope<'_>,
        span: SpanView<'_>,
        errors: &mut Option<ConditionErrors>,
    ) -> Result<bool, EvalError> {
        Ok(self.find(at, span, |condition, error| report(errors, condition, error))?.is_some())
    }

    /// The first condition that holds on a span or on one of its events.
    pub(crate) fn first_match(&self, at: &SpanScope<'_>, span: SpanView<'_>) -> Option<&Condition> {
        self.find(at, span, |_, _| {}).ok().flatten()
    }

    fn find(
        &self,
        at: &SpanScope<'_>,
        span: SpanView<'_>,
        mut ignored: impl FnMut(&Condition, EvalError),
    ) -> Result<Option<&Condition>, EvalError> {
        let mut first = |list: &'_ [Condition], at: &SpanScope<'_>| -> Result<Option<usize>, EvalError> {
            for (index, condition) in list.iter().enumerate() {
                match (condition.matches(at), self.error_mode) {
                    (Ok(false), _) | (Err(_), ErrorMode::Silent) => {}
                    (Ok(true), _) => return Ok(Some(index)),
                    (Err(error), ErrorMode::Ignore) => ignored(condition, error),
                    (Err(error), ErrorMode::Propagate) => return Err(error),
                }
            }
            Ok(None)
        };
        if let Some(index) = first(&self.span, at)? {
            return Ok(self.span.get(index));
        }
        if !self.span_event.is_empty() {
            for event in span.events() {
                if let Some(index) = first(&self.span_event, &at.with_event(event))? {
                    return Ok(self.span_event.get(index));
                }
            }
        }
        Ok(None)
    }
}

fn report(errors: &mut Option<ConditionErrors>, condition: &Condition, error: EvalError) {
    match errors {
        Some(errors) => {
            errors.count += 1;
            errors.error = error;
            condition.text().clone_into(&mut errors.condition);
        }
        None => *errors = Some(ConditionErrors { count: 1, condition: condition.text().to_owned(), error }),
    }
}

impl Predicates {
    /// The predicate that the conditions hold, and that they failed if that can be.
    pub(crate) fn conditions(&mut self, conditions: Conditions) -> (usize, Option<usize>) {
        let fails = conditions.error_mode == ErrorMode::Propagate;
        let leaf = self.add(Predicate::Conditions(Arc::new(conditions)));
        if let Some(&known) = self.conditions.iter().find(|(known, _)| *known == leaf) {
            return known;
        }
        let failure = fails.then(|| self.add(Predicate::Failure));
        self.conditions.push((leaf, failure));
        (leaf, failure)
    }

    /// Adds to `matched` what the conditions say of a span, but for those that `known`, the trace's facts, has settled:
    /// a policy's first match or failure counts.
    pub(crate) fn eval_conditions(
        &self,
        at: &SpanScope<'_>,
        span: SpanView<'_>,
        known: &LeafSet,
        matched: &mut LeafSet,
        errors: &mut Option<ConditionErrors>,
    ) {
        for &(leaf, failure) in &self.conditions {
            let Some(Predicate::Conditions(conditions)) = self.leaves.get(leaf) else { continue };
            if known.contains(leaf) || failure.is_some_and(|failure| known.contains(failure)) {
                continue;
            }
            match (conditions.matches(at, span, errors), failure) {
                (Ok(true), _) => matched.insert(leaf),
                (Err(_), Some(failure)) => matched.insert(failure),
                _ => {}
            }
        }
    }
}

impl Sampler {
    /// Takes what is to be reported of conditions that could not be evaluated since the last call.
    pub fn take_condition_errors(&mut self) -> Option<ConditionErrors> {
        self.condition_errors.take()
    }
}
