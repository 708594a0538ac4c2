//! Text to tree: the events of saphyr-parser, with aliases, merge keys and the checks YAML leaves to its reader.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use crate::diagnostic::{Diagnostic, Diagnostics, Location};
use crate::node::{Entry, Node, Scalar, Value};
use crate::scalar::{self, Resolved};

/// Values a document may hold once its aliases are replaced: a bound against aliases of aliases ("billion laughs").
const MAX_NODES: usize = 100_000;
/// Levels of nesting; everything that walks a tree recurses.
const MAX_DEPTH: usize = 100;

/// Parses one YAML document. An empty one is null. The nodes have no paths yet.
pub(crate) fn parse(file: &Arc<str>, text: &str) -> Result<Node, Diagnostics> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source: Arc<str> = Arc::from(text);
    let mut builder = Builder {
        file,
        source: &source,
        stack: Vec::new(),
        root: None,
        anchors: HashMap::new(),
        nodes: 0,
        errors: Diagnostics::default(),
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| builder.syntax_error(*error.marker(), error.info()))?;
        builder.event(event, span.start)?;
    }
    let end = Location::new(file.clone(), 1, 1);
    let root = builder.root.unwrap_or_else(|| Node::new(Value::Null, end, source.clone()));
    builder.errors.into_result(root)
}

/// A collection that is still open.
struct Open {
    node: Node,
    anchor: usize,
    size: usize,
    /// In a mapping: the key whose value comes next.
    key: Option<(String, Location)>,
    merges: Vec<Node>,
}

struct Builder<'a> {
    file: &'a Arc<str>,
    source: &'a Arc<str>,
    stack: Vec<Open>,
    root: Option<Node>,
    /// Finished anchors with the number of nodes below.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    errors: Diagnostics,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, start: Marker) -> Result<(), Diagnostic> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = self.is_plain(style, tag.as_deref(), start)?;
                let text = text.into_owned();
                let is_key = self.expects_key();
                // A key with nothing after it: the nothing stands where the key stands.
                let location = match self.stack.last().and_then(|open| open.key.as_ref()) {
                    Some((_, key)) if plain && text.is_empty() => key.clone(),
                    _ => self.at(start),
                };
                let value = if !is_key && plain && scalar::resolve_plain(&text) == Resolved::Null {
                    Value::Null
                } else {
                    Value::Scalar(Scalar { text, plain })
                };
                let node = Node::new(value, location, self.source.clone());
                self.count(1, start)?;
                self.finished(node, anchor, 1, start)
            }
            Event::SequenceStart(anchor, tag) => self.open(Value::Sequence(Vec::new()), anchor, tag.as_deref(), start),
            Event::MappingStart(anchor, tag) => self.open(Value::Mapping(Vec::new()), anchor, tag.as_deref(), start),
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(open) => self.close(open, start),
                None => Ok(()),
            },
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some((node, size)) => {
                    self.count(size, start)?;
                    self.check_depth(depth(&node), start)?;
                    self.finished(node, 0, size, start)
                }
                None => Err(self.error(start, "this alias refers to a value that contains the alias itself")),
            },
            Event::DocumentStart(_) if self.root.is_some() => Err(self.error(
                start,
                "a second YAML document starts here: a configuration is one document; pass several files to merge them",
            )),
            _ => Ok(()),
        }
    }

    fn is_plain(&self, style: ScalarStyle, tag: Option<&Tag>, start: Marker) -> Result<bool, Diagnostic> {
        let Some(tag) = tag else { return Ok(style == ScalarStyle::Plain) };
        match (tag.is_yaml_core_schema(), tag.suffix.as_str()) {
            (true, "str") => Ok(false),
            (true, "int" | "float" | "bool" | "null") => Ok(true),
            // The bare `!` says: a string.
            (false, "" | "!") if matches!(tag.handle.as_str(), "" | "!") => Ok(false),
            _ => Err(self.bad_tag(tag, start)),
        }
    }

    fn bad_tag(&self, tag: &Tag, start: Marker) -> Diagnostic {
        self.error(start, format!("the tag `{tag}` has no meaning in a configuration"))
    }

    fn open(
        &mut self,
        value: Value,
        anchor: usize,
        tag: Option<&Tag>,
        start: Marker,
    ) -> Result<(), Diagnostic> {
        if let Some(tag) = tag {
            let wanted = if matches!(value, Value::Sequence(_)) { "seq" } else { "map" };
            if !(tag.is_yaml_core_schema() && tag.suffix == wanted) {
                return Err(self.bad_tag(tag, start));
            }
        }
        if self.expects_key() {
            return Err(self.error(start, "a key must be a single value, not a list or a mapping"));
        }
        self.count(1, start)?;
        self.check_depth(1, start)?;
        let node = self.node(value, start);
        self.stack.push(Open { node, anchor, size: 1, key: None, merges: Vec::new() });
        Ok(())
    }

    fn close(&mut self, mut open: Open, start: Marker) -> Result<(), Diagnostic> {
        if let Value::Mapping(entries) = &mut open.node.value {
            for merged in open.merges {
                for entry in into_entries(merged) {
                    if !entries.iter().any(|present| present.key == entry.key) {
                        entries.push(entry);
                    }
                }
            }
        }
        self.finished(open.node, open.anchor, open.size, start)
    }

    /// A value is complete: it becomes a key, a value, an item or the root.
    fn finished(&mut self, node: Node, anchor: usize, size: usize, start: Marker) -> Result<(), Diagnostic> {
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.size += size;
        match &mut open.node.value {
            Value::Sequence(items) => items.push(node),
            Value::Mapping(entries) => match open.key.take() {
                None => match node.value {
                    Value::Scalar(scalar) => open.key = Some((scalar.text, node.location)),
                    _ => {
                        return Err(
                            self.error(start, "a key must be a single value, not a list or a mapping")
                        );
                    }
                },
                Some((key, location)) if key == "<<" => {
                    let merges = mappings_of(node).map_err(|node| {
                        Diagnostic::error(location, "", "`<<` takes a mapping or a list of mappings")
                            .with_source(&node.source)
                    })?;
                    open.merges.extend(merges);
                }
                Some((key, key_location)) => {
                    let first =
                        entries.iter().find(|entry| entry.key == key).map(|entry| entry.key_location.line);
                    let key_source = self.source.clone();
                    if let Some(line) = first {
                        let message = format!("the key `{key}` is here twice: the first is in line {line}");
                        self.errors
                            .push(Diagnostic::error(key_location, "", message).with_source(&key_source));
                    } else {
                        entries.push(Entry { key, key_location, key_source, value: node });
                    }
                }
            },
            Value::Null | Value::Scalar(_) => {}
        }
        Ok(())
    }

    /// The parser's error, at the place a person would point at.
    fn syntax_error(&self, marker: Marker, info: &str) -> Diagnostic {
        let mut location = self.at(marker);
        let line = self.line(&location);
        let indent = line.len() - line.trim_start().len();
        if let Some(tab) = line[..indent].find('\t') {
            location.column = u32::try_from(tab + 1).unwrap_or(location.column);
            let error = Diagnostic::error(location, "", "a tab cannot indent YAML");
            return error.with_help("use spaces").with_source(self.source);
        }
        // A list that was begun in one line and never closed is only noticed further on.
        for open in self.stack.iter().rev() {
            let at = &open.node.location;
            let after: String = self.line(at).chars().skip(at.column as usize - 1).collect();
            let bracket = after.chars().next().filter(|c| matches!(c, '[' | '{'));
            if let Some(bracket) = bracket.filter(|_| location.line > at.line && after.trim().len() > 1) {
                let error = Diagnostic::error(at.clone(), "", format!("this `{bracket}` is not closed"));
                let help = format!("it was noticed in line {}: {info}", location.line);
                return error.with_help(help).with_source(self.source);
            }
        }
        self.error(marker, format!("this is not valid YAML: {info}"))
    }

    fn line(&self, at: &Location) -> &str {
        self.source.lines().nth(at.line as usize - 1).unwrap_or_default()
    }

    fn count(&mut self, size: usize, start: Marker) -> Result<(), Diagnostic> {
        self.nodes += size;
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        Err(self.error(
            start,
            format!("with its aliases replaced, this document has more than {MAX_NODES} values"),
        ))
    }

    fn check_depth(&self, added: usize, start: Marker) -> Result<(), Diagnostic> {
        if self.stack.len() + added <= MAX_DEPTH {
            return Ok(());
        }
        Err(self.error(start, format!("more than {MAX_DEPTH} levels of nesting")))
    }

    fn expects_key(&self) -> bool {
        self.stack
            .last()
            .is_some_and(|open| matches!(open.node.value, Value::Mapping(_)) && open.key.is_none())
    }

    fn node(&self, value: Value, start: Marker) -> Node {
        Node::new(value, self.at(start), self.source.clone())
    }

    fn at(&self, marker: Marker) -> Location {
        location(self.file, marker)
    }

    fn error(&self, marker: Marker, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.at(marker), "", message).with_source(self.source)
    }
}

fn location(file: &Arc<str>, marker: Marker) -> Location {
    let line = u32::try_from(marker.line().max(1)).unwrap_or(u32::MAX);
    let column = u32::try_from(marker.col() + 1).unwrap_or(u32::MAX);
    Location::new(file.clone(), line, column)
}

fn into_entries(node: Node) -> Vec<Entry> {
    match node.value {
        Value::Mapping(entries) => entries,
        _ => Vec::new(),
    }
}

fn mappings_of(node: Node) -> Result<Vec<Node>, Node> {
    match node.value {
        Value::Mapping(_) => Ok(vec![node]),
        Value::Sequence(ref items) if items.iter().all(|item| matches!(item.value, Value::Mapping(_))) => {
            Ok(items.clone())
        }
        _ => Err(node),
    }
}

fn depth(node: &Node) -> usize {
    let below = match &node.value {
        Value::Mapping(entries) => entries.iter().map(|entry| depth(&entry.value)).max(),
        Value::Sequence(items) => items.iter().map(depth).max(),
        Value::Null | Value::Scalar(_) => return 0,
    };
    below.unwrap_or(0) + 1
}
