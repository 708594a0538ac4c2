//! `Node::read`: serde over the tree, with errors that know their place.
//!
//! serde stops at the first error. Here the value that caused it is set aside and the read starts again, until
//! what is left can be read or only follows from what was set aside; so one run reports every independent error.

use std::cell::RefCell;
use std::collections::HashSet;

use serde::de::DeserializeOwned;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Entry, Node, Value, child_path};
use crate::suggest;

mod access;
mod error;
mod reader;

use error::{Kind, Spot};
use reader::Reader;

/// Errors one read reports at most.
const MAX_ERRORS: usize = 50;

/// What was set aside, by the address of the value; stable, for the tree is borrowed while it is read.
#[derive(Default)]
pub(super) struct SetAside(RefCell<HashSet<usize>>);

impl SetAside {
    fn insert(&self, node: &Node) -> bool {
        self.0.borrow_mut().insert(address(node))
    }

    fn holds(&self, node: &Node) -> bool {
        self.0.borrow().contains(&address(node))
    }

    /// Whether something below `node` was set aside because it was wrong.
    fn below(&self, node: &Node) -> bool {
        let inside = |child: &Node| self.holds(child) || self.below(child);
        match &node.value {
            Value::Mapping(entries) => entries.iter().any(|entry| inside(&entry.value)),
            Value::Sequence(items) => items.iter().any(inside),
            Value::Null | Value::Scalar(_) => false,
        }
    }
}

fn address(node: &Node) -> usize {
    std::ptr::from_ref(node).addr()
}

impl Node {
    /// Reads the value as a `T`. A null reads as the defaults of a struct, and counts as absent for an option.
    ///
    /// Every unknown key, wrong type, missing key and refusal of a `Deserialize` or `TryFrom` of `T` comes back with
    /// its place. Fields behind `#[serde(flatten)]` and inside tagged or untagged enums lose theirs: serde
    /// buffers them, so their errors point at the mapping that holds them.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Diagnostics> {
        let wrong = SetAside::default();
        let absent = SetAside::default();
        let mut found = Diagnostics::default();
        loop {
            let error = match T::deserialize(Reader::new(self, &wrong, &absent)) {
                Ok(value) if found.0.is_empty() => return Ok(value),
                Ok(_) => return Err(found),
                Err(error) => error,
            };
            let spot = error.spot.unwrap_or(Spot::Value(self));
            let node = spot.node();
            if matches!(error.kind, Kind::Null) && absent.insert(node) && !std::ptr::eq(node, self) {
                continue;
            }
            let mut aside = node;
            if !wrong.holds(node) {
                found.0.extend(describe(&error.kind, spot, &wrong, &absent));
            }
            // An enum comes back to a value that was set aside: then what holds it goes, too.
            while wrong.holds(aside)
                && let Some(parent) = parent_of(self, aside)
            {
                aside = parent;
            }
            if std::ptr::eq(aside, self) || found.0.len() >= MAX_ERRORS || !wrong.insert(aside) {
                if found.0.is_empty() {
                    found.push(node.error_at(&[], error.kind.message(node)));
                }
                return Err(found);
            }
        }
    }
}

fn parent_of<'a>(root: &'a Node, child: &Node) -> Option<&'a Node> {
    let search = |node: &'a Node| if std::ptr::eq(node, child) { Some(root) } else { parent_of(node, child) };
    match &root.value {
        Value::Mapping(entries) => entries.iter().find_map(|entry| search(&entry.value)),
        Value::Sequence(items) => items.iter().find_map(search),
        Value::Null | Value::Scalar(_) => None,
    }
}

/// The diagnostic for an error; none when it only follows from one that was reported.
fn describe(kind: &Kind, spot: Spot<'_>, wrong: &SetAside, absent: &SetAside) -> Option<Diagnostic> {
    let node = spot.node();
    if let Kind::MissingField(field) = kind {
        let Some(entry) = node.entry(field) else {
            // A misspelt key was told already.
            let misspelt = |entry: &Entry| {
                wrong.holds(&entry.value) && suggest::nearest(&entry.key, [*field].into_iter()).is_some()
            };
            if node.entries().any(misspelt) {
                return None;
            }
            let diagnostic = node.error_at(&[], format!("the key `{field}` is missing"));
            let diagnostic = Diagnostic { path: node.path().to_owned(), ..diagnostic };
            return Some(diagnostic.with_help(format!("add `{}`", child_path(node.path(), field))));
        };
        if wrong.holds(&entry.value) || !absent.holds(&entry.value) {
            return None;
        }
        return Some(entry.value.error_at(&[], "this key needs a value"));
    }
    let follows = !matches!(kind, Kind::UnknownField { .. }) && wrong.below(node);
    if follows {
        return None;
    }
    if let Kind::Custom(message) = kind
        && let Some(key) = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next())
        && node.entry(key).is_some()
    {
        return Some(node.error_at_key(key, format!("unknown key `{key}`")));
    }
    let message = kind.message(node);
    let diagnostic = match spot {
        Spot::Value(node) => node.error_at(&[], message),
        Spot::Key(entry) => Diagnostic::error(entry.key_location.clone(), entry.value.path(), message)
            .with_source(&entry.key_source),
    };
    let help = match kind {
        Kind::UnknownField { name, known } | Kind::UnknownVariant { name, known } => {
            suggest::help(name, known.iter().copied())
        }
        _ => {
            node.expansion.as_ref().map(|expansion| format!("the value comes from `{}`", expansion.reference))
        }
    };
    Some(match help {
        Some(help) => diagnostic.with_help(help),
        None => diagnostic,
    })
}
