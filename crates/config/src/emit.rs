//! Tree to YAML.

use serde_yaml::{Mapping, Number, Value as Yaml};

use crate::node::{Node, Value};
use crate::scalar::Resolved;

/// The configuration as YAML that reads back as the same configuration: expanded, merged, with `$` written `$$`.
pub fn to_yaml(node: &Node) -> String {
    // A tree of scalars, lists and string keys always has a YAML form.
    serde_yaml::to_string(&yaml(node)).unwrap_or_default()
}

fn yaml(node: &Node) -> Yaml {
    match &node.value {
        Value::Sequence(items) => Yaml::Sequence(items.iter().map(yaml).collect()),
        Value::Mapping(entries) => {
            let entries = entries.iter().map(|entry| (Yaml::String(entry.key.clone()), yaml(&entry.value)));
            Yaml::Mapping(entries.collect::<Mapping>())
        }
        Value::Null | Value::Scalar(_) => match node.resolved() {
            Some(Resolved::Bool(value)) => Yaml::Bool(value),
            Some(Resolved::Int(value)) => Yaml::Number(value.into()),
            Some(Resolved::Uint(value)) => Yaml::Number(value.into()),
            Some(Resolved::Float(value)) => Yaml::Number(Number::from(value)),
            Some(Resolved::Str(text)) => Yaml::String(text.replace('$', "$$")),
            Some(Resolved::Null) | None => Yaml::Null,
        },
    }
}
