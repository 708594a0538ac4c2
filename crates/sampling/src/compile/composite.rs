//! The `composite` policy: order and parts of its sub-policies.

use super::{Compiler, sub_policy_types};
use crate::config::{CompositeConfig, PolicyConfig};
use crate::limits::{Composite, Part};
use crate::policy::Term;

impl Compiler {
    /// The path stands at the policy.
    pub(super) fn composite(&mut self, settings: &CompositeConfig) -> Option<Term> {
        self.path.push("composite".to_owned());
        let total = u64::try_from(settings.max_total_spans_per_second).ok().filter(|total| *total > 0);
        if total.is_none() {
            self.error_at("max_total_spans_per_second", "must be at least 1, or nothing could be kept");
        }
        let names = self.names(&settings.composite_sub_policy);
        let order = self.order(&settings.policy_order, &names);
        let allocated = self.allocations(settings, &names, total.unwrap_or(0));
        self.path.push("composite_sub_policy".to_owned());
        let mut terms = Vec::new();
        for (index, config) in settings.composite_sub_policy.iter().enumerate() {
            self.path.push(index.to_string());
            terms.push(self.term(config, sub_policy_types()));
            self.path.pop();
        }
        self.path.truncate(self.path.len() - 2);
        let mut parts = Vec::new();
        for index in order {
            let term = terms.get_mut(index)?.take()?;
            let name = names.get(index).copied().unwrap_or_default().into();
            parts.push(Part { name, term, per_second: allocated.get(index).copied().unwrap_or(0) });
        }
        self.set.composites.push(Composite { parts });
        Some(Term::Composite(self.set.composites.len() - 1))
    }

    /// The names of the sub-policies, by which order and parts refer to them.
    fn names<'a>(&mut self, list: &'a [PolicyConfig]) -> Vec<&'a str> {
        self.path.push("composite_sub_policy".to_owned());
        if list.is_empty() {
            self.error("the list is empty: a policy of type composite needs at least one");
        }
        let mut names: Vec<&str> = Vec::new();
        for (index, config) in list.iter().enumerate() {
            self.path.push(index.to_string());
            if config.name.is_empty() {
                self.error_at(
                    "name",
                    "a policy in a composite needs a name, which rate_allocation refers to",
                );
            } else if names.contains(&config.name.as_str()) {
                self.error_at(
                    "name",
                    &format!("duplicate policy name {:?}: each needs its own", config.name),
                );
            }
            names.push(&config.name);
            self.path.pop();
        }
        self.path.pop();
        names
    }

    /// The sub-policies' indexes in the order to ask them.
    fn order(&mut self, wanted: &[String], names: &[&str]) -> Vec<usize> {
        let mut order = Vec::new();
        self.path.push("policy_order".to_owned());
        for (at, name) in wanted.iter().enumerate() {
            match names.iter().position(|known| known == name) {
                None => self.unknown(&at.to_string(), name, names),
                Some(index) if order.contains(&index) => {
                    self.error_at(&at.to_string(), &format!("{name:?} stands here twice: remove one"));
                }
                Some(index) => order.push(index),
            }
        }
        self.path.pop();
        order.extend((0..names.len()).filter(|index| !wanted.iter().any(|name| name == names[*index])));
        order
    }

    /// Spans a second by sub-policy, rounded down as the collector does; none without an allocation.
    fn allocations(&mut self, settings: &CompositeConfig, names: &[&str], total: u64) -> Vec<u64> {
        let total = total as f64;
        let mut allocated = vec![0; names.len()];
        self.path.push("rate_allocation".to_owned());
        for (at, allocation) in settings.rate_allocation.iter().enumerate() {
            let Some(index) = names.iter().position(|name| *name == allocation.policy) else {
                self.path.push(at.to_string());
                self.unknown("policy", &allocation.policy, names);
                self.path.pop();
                continue;
            };
            let part = if allocation.percent > 0 {
                allocation.percent as f64 / 100.0 * total
            } else {
                total / names.len() as f64
            };
            // One sub-policy alone never keeps more than the total, whatever its percentage.
            allocated[index] = part.min(total) as u64;
        }
        self.path.pop();
        allocated
    }

    fn unknown(&mut self, key: &str, name: &str, names: &[&str]) {
        let message = format!("unknown policy {name:?}; in composite_sub_policy: {}", names.join(", "));
        self.error_at(key, &message);
    }
}
