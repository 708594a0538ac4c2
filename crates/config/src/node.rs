//! The YAML tree: every value and every key knows where it stands.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Diagnostics, Location};
use crate::expand::Outside;
use crate::scalar::{self, Resolved};
use crate::source::{self, Source};

/// One value of the configuration with its place and its path.
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) value: Value,
    pub(crate) location: Location,
    pub(crate) path: Arc<str>,
    /// The whole text of the source, for snippets.
    pub(crate) source: Arc<str>,
    /// Set where a `${...}` stood for the whole value.
    pub(crate) expansion: Option<Arc<Expansion>>,
}

/// What a YAML node holds.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A single value; its type is only known once it is read.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in the order of the source.
    Mapping(Vec<Entry>),
}

/// A scalar as it was written, without its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar {
    /// The text.
    pub text: String,
    /// Whether it stood without quotes, so that `5` is a number. Quoted and block scalars are strings.
    pub plain: bool,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_location: Location,
    /// The text of the source the key stands in, for snippets.
    pub(crate) key_source: Arc<str>,
    /// The value.
    pub value: Node,
}

/// The `${...}` a value came from: a string option takes the text as it was, whatever it parses to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expansion {
    /// As written in the configuration.
    pub(crate) reference: String,
    /// What it stands for.
    pub(crate) text: String,
}

impl Node {
    pub(crate) fn new(value: Value, location: Location, source: Arc<str>) -> Self {
        Self { value, location, path: Arc::from(""), source, expansion: None }
    }

    /// An empty value, for a section that the configuration leaves out: `read` gives the defaults.
    pub fn empty(path: impl Into<Arc<str>>, location: Location) -> Self {
        Self { value: Value::Null, location, path: path.into(), source: Arc::from(""), expansion: None }
    }

    /// An empty child of this node for the key it lacks; its errors point at this node.
    pub fn empty_child(&self, key: &str) -> Self {
        Self {
            value: Value::Null,
            location: self.location.clone(),
            path: child_path(&self.path, key).into(),
            source: self.source.clone(),
            expansion: None,
        }
    }

    /// Parses and expands one text, for tests: no environment variable is set and no file exists.
    pub fn parse_str(file_name: &str, text: &str) -> Result<Node, Diagnostics> {
        let source = Source::Yaml { name: file_name.to_owned(), text: text.to_owned() };
        let read_file = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        source::load_node(&source, Outside { env: &|_| None, read_file: &read_file })
    }

    /// Where the value stands.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The path of the value from the root, such as `exporters.otlp/jaeger.sending_queue`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What the node holds.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Whether the node is nothing, `~` or `null`.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The value of `key`, when this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The keys and values of a mapping in the order of the source; nothing for any other value.
    pub fn entries(&self) -> std::slice::Iter<'_, Entry> {
        match &self.value {
            Value::Mapping(entries) => entries.iter(),
            _ => [].iter(),
        }
    }

    /// The items of a list; nothing for any other value.
    pub fn items(&self) -> std::slice::Iter<'_, Node> {
        match &self.value {
            Value::Sequence(items) => items.iter(),
            _ => [].iter(),
        }
    }

    /// Sets a key that a mapping, or a node that holds nothing, has not; it stands where the node does.
    pub fn set_default(&mut self, key: &str, value: bool) {
        if self.is_null() {
            self.value = Value::Mapping(Vec::new());
        }
        let mut child = self.empty_child(key);
        child.value = Value::Scalar(Scalar { text: value.to_string(), plain: true });
        let (key_location, key_source) = (self.location.clone(), self.source.clone());
        if let Value::Mapping(entries) = &mut self.value
            && !entries.iter().any(|entry| entry.key == key)
        {
            entries.push(Entry { key: key.to_owned(), key_location, key_source, value: child });
        }
    }

    /// The text of a scalar (numbers and booleans as they were written); of an expanded value its whole text.
    pub fn as_str(&self) -> Option<&str> {
        match (&self.expansion, &self.value) {
            (Some(expansion), _) => Some(&expansion.text),
            (None, Value::Scalar(scalar)) => Some(&scalar.text),
            _ => None,
        }
    }

    /// A located error about this node, or about the child that `child_path` (keys, and indices as decimal
    /// strings) leads to; where the path ends early, about the last node it reaches.
    pub fn error_at(&self, child_path: &[&str], message: impl Into<String>) -> Diagnostic {
        let mut node = self;
        let mut path = self.path.to_string();
        let mut reached = true;
        for step in child_path {
            let child = if reached { node.child(step) } else { None };
            path = match &node.value {
                Value::Sequence(_) if reached => format!("{path}[{step}]"),
                _ => self::child_path(&path, step),
            };
            match child {
                Some(child) => node = child,
                None => reached = false,
            }
        }
        Diagnostic::error(node.location.clone(), path, message).with_source(&node.source)
    }

    /// A located error about the key of an entry (or about this node when it has no such key).
    pub fn error_at_key(&self, key: &str, message: impl Into<String>) -> Diagnostic {
        match self.entry(key) {
            Some(entry) => Diagnostic::error(entry.key_location.clone(), entry.value.path(), message)
                .with_source(&entry.key_source),
            None => self.error_at(&[], message),
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().find(|entry| entry.key == key)
    }

    pub(crate) fn child(&self, step: &str) -> Option<&Node> {
        match &self.value {
            Value::Mapping(_) => self.get(step),
            Value::Sequence(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        }
    }

    pub(crate) fn resolved(&self) -> Option<Resolved<'_>> {
        match &self.value {
            Value::Null => Some(Resolved::Null),
            Value::Scalar(scalar) => Some(scalar::resolve(scalar)),
            _ => None,
        }
    }

    /// Gives every node below its path, starting from `path` for this one.
    pub(crate) fn set_path(&mut self, path: &str) {
        self.path = Arc::from(path);
        match &mut self.value {
            Value::Mapping(entries) => {
                for entry in entries {
                    let path = child_path(path, &entry.key);
                    entry.value.set_path(&path);
                }
            }
            Value::Sequence(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    item.set_path(&format!("{path}[{index}]"));
                }
            }
            Value::Null | Value::Scalar(_) => {}
        }
    }
}

pub(crate) fn child_path(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}
