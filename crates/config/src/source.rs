//! Where configurations come from, and several made one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::{Diagnostics, Location};
use crate::expand::{self, Outside, unlocated};
use crate::node::{Entry, Node, Value};
use crate::{parse, suggest};

/// One argument of `--config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, relative to the working directory.
    File(PathBuf),
    /// The text itself; `name` stands for it in messages.
    Yaml {
        /// What stands for the file in messages.
        name: String,
        /// The YAML.
        text: String,
    },
    /// An environment variable that holds the text.
    Env(String),
}

impl Source {
    /// Reads a `--config` argument: a path, `file:PATH`, `env:NAME` or `yaml:TEXT`. As with the collector, the
    /// keys of such a text may be joined by `::`, as in `yaml:processors::batch::timeout: 2s`.
    pub fn parse(argument: &str) -> Result<Self, Diagnostics> {
        let drive_letter = argument.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
            && argument.as_bytes().get(1) == Some(&b':');
        let Some((scheme, rest)) = argument.split_once(':').filter(|_| !drive_letter) else {
            return Ok(Source::File(argument.into()));
        };
        match scheme {
            "file" => Ok(Source::File(rest.into())),
            "yaml" => Ok(Source::Yaml { name: "yaml:".to_owned(), text: rest.to_owned() }),
            "env" => Ok(Source::Env(rest.to_owned())),
            _ => {
                let message = format!("unknown scheme `{scheme}` in the configuration source `{argument}`");
                let error = unlocated(argument, message);
                let help = suggest::help(scheme, ["file", "env", "yaml"].into_iter());
                Err(error.with_help(help.unwrap_or_default()).into())
            }
        }
    }

    fn text(&self, outside: Outside<'_>) -> Result<(String, String), Diagnostics> {
        match self {
            Source::File(path) => {
                let name = path.display().to_string();
                let text = (outside.read_file)(Path::new(path))
                    .map_err(|error| unlocated(&name, format!("cannot read this file: {error}")))?;
                Ok((name, text))
            }
            Source::Yaml { name, text } => Ok((name.clone(), text.clone())),
            Source::Env(variable) => {
                let name = format!("env:{variable}");
                let text = (outside.env)(variable).ok_or_else(|| {
                    unlocated(&name, format!("the environment variable `{variable}` is not set"))
                })?;
                Ok((name, text))
            }
        }
    }

    fn read(&self, outside: Outside<'_>) -> Result<Node, Diagnostics> {
        let (name, text) = self.text(outside)?;
        let mut node = parse::parse(&Arc::from(name), &text)?;
        match &mut node.value {
            Value::Null => Ok(node),
            Value::Mapping(entries) => {
                let joined = std::mem::take(entries);
                for entry in joined {
                    let entry = split_key(entry);
                    merge_entry(entries, entry);
                }
                Ok(node)
            }
            _ => Err(node
                .error_at(&[], "a configuration is a mapping with `receivers`, `exporters`, `service`")
                .into()),
        }
    }
}

/// Reads the sources, merges the later over the earlier, and expands the result.
pub(crate) fn load_tree(
    sources: &[Source],
    outside: Outside<'_>,
) -> Result<(Node, Diagnostics), Diagnostics> {
    let mut errors = Diagnostics::default();
    let mut merged: Option<Node> = None;
    for source in sources {
        match source.read(outside) {
            Err(found) => errors.extend(found),
            Ok(next) => match &mut merged {
                None => merged = Some(next),
                Some(node) => merge(node, next),
            },
        }
    }
    if !errors.0.is_empty() {
        return Err(errors);
    }
    let mut merged = merged.unwrap_or_else(|| Node::empty("", Location::new("configuration", 1, 1)));
    merged.set_path("");
    let (mut root, found) = expand::expand(merged, outside);
    root.set_path("");
    found.clone().into_result((root, found))
}

/// One source with any value at its root, expanded.
pub(crate) fn load_node(source: &Source, outside: Outside<'_>) -> Result<Node, Diagnostics> {
    let (name, text) = source.text(outside)?;
    let mut node = parse::parse(&Arc::from(name), &text)?;
    node.set_path("");
    let (mut node, found) = expand::expand(node, outside);
    node.set_path("");
    found.into_result(node)
}

/// `a::b: c` as `a: {b: c}`.
fn split_key(entry: Entry) -> Entry {
    let Some((first, rest)) = entry.key.split_once("::") else { return entry };
    let (first, rest) = (first.to_owned(), rest.to_owned());
    let (location, source) = (entry.key_location.clone(), entry.key_source.clone());
    let inner = split_key(Entry { key: rest, ..entry });
    let value = Node::new(Value::Mapping(vec![inner]), location.clone(), source.clone());
    Entry { key: first, key_location: location, key_source: source, value }
}

/// Mappings merge key by key; anything else is replaced by what comes later.
fn merge(into: &mut Node, later: Node) {
    match (&mut into.value, later) {
        (Value::Mapping(entries), Node { value: Value::Mapping(more), .. }) => {
            for entry in more {
                merge_entry(entries, entry);
            }
        }
        // Only a whole source can be null here: an empty file changes nothing.
        (_, later) if later.is_null() => {}
        (_, later) => *into = later,
    }
}

fn merge_entry(entries: &mut Vec<Entry>, later: Entry) {
    match entries.iter_mut().find(|entry| entry.key == later.key) {
        Some(entry) => {
            let both =
                matches!((&entry.value.value, &later.value.value), (Value::Mapping(_), Value::Mapping(_)));
            if both {
                merge(&mut entry.value, later.value);
            } else {
                *entry = later;
            }
        }
        None => entries.push(later),
    }
}
