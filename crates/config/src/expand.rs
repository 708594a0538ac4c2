//! `${env:NAME}`, `${env:NAME:-default}`, `${NAME}`, `${file:PATH}`, `${yaml:TEXT}` and `$$`, as the collector has them.
//!
//! A scalar that is nothing but one reference takes what the reference stands for as YAML: a number, a list, a whole
//! section. A reference inside a longer text is replaced by text. What was put in is expanded again.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Expansion, Node, Scalar, Value};
use crate::parse;

/// References inside what references stand for: a bound against `A=${env:A}`.
const MAX_DEPTH: usize = 50;
/// References one configuration may hold once they are replaced, and the longest text one may give.
const MAX_REFERENCES: usize = 10_000;
const MAX_TEXT: usize = 1 << 20;

/// Where references look: the environment and the files, passed in so that tests need neither.
#[derive(Clone, Copy)]
pub(crate) struct Outside<'a> {
    pub(crate) env: &'a dyn Fn(&str) -> Option<String>,
    pub(crate) read_file: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// Replaces every reference in `node`; unset variables are warnings. Keys are not expanded.
pub(crate) fn expand(node: Node, outside: Outside<'_>) -> (Node, Diagnostics) {
    let mut expander = Expander { outside, found: Diagnostics::default(), references: 0 };
    let node = expander.node(node, 0);
    (node, expander.found)
}

struct Expander<'a> {
    outside: Outside<'a>,
    found: Diagnostics,
    references: usize,
}

/// What cannot be expanded, and what to do.
type Failure = (String, Option<String>);

impl Expander<'_> {
    fn node(&mut self, mut node: Node, depth: usize) -> Node {
        node.value = match node.value {
            Value::Mapping(mut entries) => {
                for entry in &mut entries {
                    let value = std::mem::replace(&mut entry.value, Node::empty("", node.location.clone()));
                    entry.value = self.node(value, depth);
                }
                Value::Mapping(entries)
            }
            Value::Sequence(items) => {
                Value::Sequence(items.into_iter().map(|item| self.node(item, depth)).collect())
            }
            Value::Scalar(ref scalar) if scalar.text.contains('$') => {
                let text = scalar.text.clone();
                return match self.scalar(&node, &text, depth) {
                    Ok(expanded) => expanded,
                    Err((message, help)) => {
                        let mut diagnostic = node.error_at(&[], message);
                        diagnostic.help = help;
                        self.found.push(diagnostic);
                        node
                    }
                };
            }
            other => other,
        };
        node
    }

    fn scalar(&mut self, at: &Node, text: &str, depth: usize) -> Result<Node, Failure> {
        match reference_at(text) {
            Some(Ok(inner)) if inner.len() + 3 == text.len() => self.whole(at, inner, depth),
            _ => {
                let text = self.text(at, text, depth)?;
                let value = Value::Scalar(Scalar { text, plain: false });
                Ok(Node { value, ..at.clone() })
            }
        }
    }

    /// A value that is one reference: it becomes what the reference stands for, with its type.
    fn whole(&mut self, at: &Node, inner: &str, depth: usize) -> Result<Node, Failure> {
        let raw = self.retrieve(at, inner, depth)?;
        let (name, from_file) = match inner.split_once(':') {
            Some(("file", path)) => (Arc::from(path), true),
            _ => (at.location.file.clone(), false),
        };
        // What is no YAML is text, as with the collector: a password may hold anything.
        let parsed = parse::parse(&name, &raw).ok();
        let mut typed = match parsed {
            Some(node) if !is_text(&node) => node,
            _ => {
                let value = Value::Scalar(Scalar { text: raw.clone(), plain: false });
                Node { value, ..at.clone() }
            }
        };
        let is_collection = matches!(typed.value, Value::Mapping(_) | Value::Sequence(_));
        if !from_file || !is_collection {
            relocate(&mut typed, at);
        }
        typed.set_path(at.path());
        let mut typed = self.node(typed, depth + 1);
        // A string option takes the text: of a string after its own expansion, of all else as it was retrieved.
        let text = match (&typed.expansion, &typed.value) {
            (Some(inner), _) => inner.text.clone(),
            (None, Value::Scalar(scalar)) if !scalar.plain => scalar.text.clone(),
            _ if raw.contains('$') => {
                let told = self.found.0.len();
                let text = self.text(at, &raw, depth + 1).unwrap_or(raw);
                self.found.0.truncate(told);
                text
            }
            _ => raw,
        };
        typed.expansion = Some(Arc::new(Expansion { reference: format!("${{{inner}}}"), text }));
        Ok(typed)
    }

    /// A text with references in it.
    fn text(&mut self, at: &Node, text: &str, depth: usize) -> Result<String, Failure> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            out.push_str(&rest[..dollar]);
            rest = &rest[dollar..];
            if let Some(after) = rest.strip_prefix("$$") {
                out.push('$');
                rest = after;
                continue;
            }
            match reference_at(rest) {
                None => {
                    out.push('$');
                    rest = &rest[1..];
                }
                Some(Err(())) => {
                    let help =
                        "close it with `}`, or write `$${` where these characters are meant".to_owned();
                    return Err(("`${` is not closed".to_owned(), Some(help)));
                }
                Some(Ok(inner)) => {
                    let raw = self.retrieve(at, inner, depth)?;
                    out.push_str(&self.text(at, &raw, depth + 1)?);
                    rest = &rest[inner.len() + 3..];
                }
            }
            if out.len() > MAX_TEXT {
                return Err((
                    format!("with its references replaced, this is longer than {MAX_TEXT} bytes"),
                    None,
                ));
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    /// What `${inner}` stands for, as it is.
    fn retrieve(&mut self, at: &Node, inner: &str, depth: usize) -> Result<String, Failure> {
        self.references += 1;
        if depth >= MAX_DEPTH || self.references > MAX_REFERENCES {
            let message = format!(
                "`${{{inner}}}`: too many references inside references; does one lead back to itself?"
            );
            return Err((message, None));
        }
        let (scheme, rest) = match inner.split_once(':') {
            Some((scheme, rest)) if !scheme.contains("${") => (scheme, rest),
            _ => ("env", inner),
        };
        match scheme {
            "env" => self.variable(at, rest, depth),
            "file" => {
                let path = self.argument(at, rest, depth)?;
                (self.outside.read_file)(Path::new(&path))
                    .map_err(|error| (format!("cannot read the file `{path}`: {error}"), None))
            }
            "yaml" => self.argument(at, rest, depth),
            _ if rest.starts_with('-') => {
                let help = format!("a default needs the scheme: `${{env:{inner}}}`");
                Err((format!("`${{{inner}}}`: unknown scheme `{scheme}`"), Some(help)))
            }
            _ => {
                let help =
                    "known: `env`, `file`, `yaml`; write `$${` where these characters are meant".to_owned();
                Err((format!("`${{{inner}}}`: unknown scheme `{scheme}`"), Some(help)))
            }
        }
    }

    fn variable(&mut self, at: &Node, rest: &str, depth: usize) -> Result<String, Failure> {
        let (name, default) = match split_default(rest) {
            Some((name, default)) => (name, Some(default)),
            None => (rest, None),
        };
        let name = self.argument(at, name, depth)?;
        let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if name.is_empty() || !letters || name.starts_with(|c: char| c.is_ascii_digit()) {
            let help = "a name has letters, digits and `_`, and does not start with a digit".to_owned();
            return Err((format!("`{name}` is no name of an environment variable"), Some(help)));
        }
        if let Some(value) = (self.outside.env)(&name) {
            return Ok(value);
        }
        if let Some(default) = default {
            return self.argument(at, default, depth);
        }
        let message = format!("the environment variable `{name}` is not set: it counts as empty");
        let help = format!("set it, or give a default: `${{env:{name}:-default}}`");
        self.found.push(at.error_at(&[], message).into_warning().with_help(help));
        Ok(String::new())
    }

    /// The part of a reference after its scheme, with the references inside it replaced.
    fn argument(&mut self, at: &Node, text: &str, depth: usize) -> Result<String, Failure> {
        let mut rest = text;
        let mut out = String::new();
        while let Some(dollar) = rest.find('$') {
            let Some(Ok(inner)) = reference_at(&rest[dollar..]) else {
                return Err((format!("`{text}`: a lone `$` cannot stand inside `${{...}}`"), None));
            };
            out.push_str(&rest[..dollar]);
            out.push_str(&self.retrieve(at, inner, depth + 1)?);
            rest = &rest[dollar + inner.len() + 3..];
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// The inside of the reference that `text` starts with; an error when it is not closed.
fn reference_at(text: &str) -> Option<Result<&str, ()>> {
    let inner = text.strip_prefix("${")?;
    let mut open = 1;
    let bytes = inner.as_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'$' if bytes.get(index + 1) == Some(&b'{') => open += 1,
            b'}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(Ok(&inner[..index]));
        }
    }
    Some(Err(()))
}

/// Splits at the first `:-` outside of inner references.
fn split_default(text: &str) -> Option<(&str, &str)> {
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if let Some(Ok(inner)) = reference_at(rest) {
            at += inner.len() + 3;
        } else if let Some(default) = rest.strip_prefix(":-") {
            return Some((&text[..at], default));
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    None
}

fn is_text(node: &Node) -> bool {
    matches!(node.resolved(), Some(crate::scalar::Resolved::Str(_)))
}

/// What has no place of its own stands where the reference stands.
fn relocate(node: &mut Node, at: &Node) {
    node.location = at.location.clone();
    node.source = at.source.clone();
    match &mut node.value {
        Value::Mapping(entries) => {
            for entry in entries {
                entry.key_location = at.location.clone();
                entry.key_source = at.source.clone();
                relocate(&mut entry.value, at);
            }
        }
        Value::Sequence(items) => items.iter_mut().for_each(|item| relocate(item, at)),
        Value::Null | Value::Scalar(_) => {}
    }
}

/// For errors that need no place.
pub(crate) fn unlocated(file: &str, message: impl Into<String>) -> Diagnostic {
    Diagnostic::error(crate::diagnostic::Location::new(file, 1, 1), "", message)
}
