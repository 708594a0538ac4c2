//! Our own keys: what yields first, and what is held although it was dropped.

use forebay_config::{ByteSize, Diagnostics, GoDuration, Node};
use forebay_sampling::{PriorityClasses, RetainDropped};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Priority classes: when there is no room for all, the lowest yields first.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Priority {
    /// The attribute, on a span or a resource, that says how much a trace matters.
    pub key: String,
    /// Its values from the highest.
    pub order: Vec<String>,
    /// The class of traces that have none of these values (yet); empty for the last but one.
    pub unset: String,
    /// What a class may hold, by its value.
    pub classes: BTreeMap<String, Class>,
}

/// One class's part of the memory, as encoded bytes of undecided spans.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Class {
    /// Other classes do not make it yield while it holds no more than this.
    pub floor: ByteSize,
    /// It yields by itself beyond this; 0 is no bound.
    pub budget: ByteSize,
}

impl Default for Priority {
    fn default() -> Self {
        let PriorityClasses { key, order, .. } = PriorityClasses::default();
        Self { key, order, unset: String::new(), classes: BTreeMap::new() }
    }
}

impl Priority {
    /// Everything that is wrong with it; `memory_limit` is 0 when none is given.
    pub fn check(&self, node: &Node, memory_limit: u64, errors: &mut Diagnostics) {
        let mut refuse = |path: &[&str], message: String| {
            let path: Vec<&str> = std::iter::once("priority").chain(path.iter().copied()).collect();
            errors.push(node.error_at(&path, message));
        };
        if self.key.is_empty() {
            refuse(&["key"], "is empty: name the attribute that says how much a trace matters".to_owned());
        }
        if self.order.is_empty() || self.order.len() > PriorityClasses::MOST {
            let most = PriorityClasses::MOST;
            refuse(&["order"], format!("must list 1 to {most} values of `{}`, the highest first", self.key));
        }
        for (index, value) in self.order.iter().enumerate() {
            if self.order.iter().take(index).any(|before| before == value) {
                refuse(&["order", &index.to_string()], format!("`{value}` is listed twice"));
            }
        }
        let known = || format!("known are {}", self.order.join(", "));
        if !self.unset.is_empty() && !self.order.contains(&self.unset) {
            refuse(&["unset"], format!("`{}` is not in `order`; {}", self.unset, known()));
        }
        for (value, class) in &self.classes {
            if !self.order.contains(value) {
                refuse(&["classes", value], format!("`{value}` is not in `order`; {}", known()));
            }
            if class.budget.0 > 0 && class.budget.0 < class.floor.0 {
                refuse(&["classes", value, "budget"], "is smaller than the class's floor".to_owned());
            }
        }
        let floors: u64 = self.classes.values().map(|class| class.floor.0).fold(0, u64::saturating_add);
        if memory_limit > 0 && floors > memory_limit {
            refuse(&["classes"], "the floors together are larger than memory_limit".to_owned());
        }
    }

    /// As the sampler of one of `shards` takes it. `given` when the user wrote it down.
    pub fn classes(&self, shards: usize, given: bool) -> PriorityClasses {
        let part = |bytes: &ByteSize| bytes.0.div_ceil(shards as u64);
        let class = |value: &String| self.classes.get(value);
        let last_but_one = self.order.len().saturating_sub(2);
        PriorityClasses {
            key: self.key.clone(),
            order: self.order.clone(),
            unset: self.order.iter().position(|value| *value == self.unset).unwrap_or(last_but_one),
            floors: self
                .order
                .iter()
                .map(|value| class(value).map_or(0, |class| part(&class.floor)))
                .collect(),
            budgets: self
                .order
                .iter()
                .map(|value| class(value).filter(|class| class.budget.0 > 0).map(|class| part(&class.budget)))
                .collect(),
            limits: given,
        }
    }
}

/// Dropped traces that a late span may still bring back.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retain {
    /// How long they are held after their verdict.
    pub r#for: GoDuration,
    /// How many encoded bytes of their spans are held.
    pub bytes: ByteSize,
}

impl Default for Retain {
    fn default() -> Self {
        Self { r#for: Duration::ZERO.into(), bytes: ByteSize(64 << 20) }
    }
}

impl Retain {
    pub fn check(&self, node: &Node, errors: &mut Diagnostics) {
        if Duration::from(self.r#for).is_zero() {
            let message = "must say how long dropped traces are held, for example `for: 10m`";
            errors.push(node.error_at(&["retain_dropped", "for"], message));
        }
        if self.bytes.0 == 0 {
            errors
                .push(node.error_at(&["retain_dropped", "bytes"], "must be more than 0, for example 256MiB"));
        }
    }

    pub fn part(&self, shards: usize) -> RetainDropped {
        RetainDropped { time: self.r#for.into(), bytes: self.bytes.0.div_ceil(shards as u64) }
    }
}
