//! The configuration as the agent sees it: components by id, and how pipelines join them.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::diagnostic::{Diagnostic, Diagnostics, Location};
use crate::expand::Outside;
use crate::id::ComponentId;
use crate::node::{Node, Value};
use crate::source::{Source, load_tree};
use crate::suggest;

mod check;

/// The keys a configuration may have.
const SECTIONS: [&str; 6] = ["receivers", "processors", "exporters", "connectors", "extensions", "service"];
const SERVICE_KEYS: [&str; 4] = ["extensions", "pipelines", "telemetry", "shutdown_timeout"];
const PIPELINE_KEYS: [&str; 3] = ["receivers", "processors", "exporters"];
/// How long a stop may take when `service.shutdown_timeout` does not say.
pub const DEFAULT_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// A value that knows where it stands.
#[derive(Clone, Debug)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// The node it was read from, for errors about it.
    pub node: Node,
}

impl<T> Located<T> {
    /// Where the value stands.
    pub fn location(&self) -> &Location {
        self.node.location()
    }

    /// A located error about the value.
    pub fn error(&self, message: impl Into<String>) -> Diagnostic {
        self.node.error_at(&[], message)
    }
}

impl<T> std::ops::Deref for Located<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// The components of one section with their settings, in the order of the source.
pub type Components = Vec<(ComponentId, Node)>;

/// A whole configuration, checked as far as no knowledge of concrete components is needed.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Where data comes in.
    pub receivers: Components,
    /// What happens to it.
    pub processors: Components,
    /// Where it goes.
    pub exporters: Components,
    /// What joins pipelines: an exporter of one, a receiver of another.
    pub connectors: Components,
    /// What runs beside the pipelines.
    pub extensions: Components,
    /// What of all that runs, and how.
    pub service: Service,
    /// The whole tree, merged and expanded.
    pub root: Node,
}

/// The `service` section.
#[derive(Clone, Debug)]
pub struct Service {
    /// The extensions that run, in the order they start.
    pub extensions: Vec<Located<ComponentId>>,
    /// The pipelines.
    pub pipelines: Vec<Pipeline>,
    /// `service.telemetry`; null when absent.
    pub telemetry: Node,
    /// How long a stop may take.
    pub shutdown_timeout: Duration,
    /// The section itself.
    pub node: Node,
}

/// One pipeline.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// `traces` or `traces/name`.
    pub id: ComponentId,
    /// Receivers, and connectors that give to this pipeline.
    pub receivers: Vec<Located<ComponentId>>,
    /// Processors in the order the data passes them.
    pub processors: Vec<Located<ComponentId>>,
    /// Exporters, and connectors that take from this pipeline.
    pub exporters: Vec<Located<ComponentId>>,
    /// Where the pipeline's key stands.
    pub location: Location,
    /// The pipeline's settings.
    pub node: Node,
}

/// Reads, merges, expands and checks the sources. `env` gives environment variables, `read_file` the text of files.
///
/// The second part of the success is the warnings. A failure has every error that was found, and the warnings.
pub fn load(
    sources: &[Source],
    env: &dyn Fn(&str) -> Option<String>,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<(Spec, Vec<Diagnostic>), Diagnostics> {
    let (root, mut found) = load_tree(sources, Outside { env, read_file })?;
    let spec = Spec::from_root(root, &mut found);
    check::check(&spec, &mut found);
    found.clone().into_result(()).map(|()| (spec, found.0))
}

impl Spec {
    fn from_root(root: Node, found: &mut Diagnostics) -> Self {
        unknown_keys(&root, &SECTIONS, found);
        Self {
            receivers: components(&root, "receivers", found),
            processors: components(&root, "processors", found),
            exporters: components(&root, "exporters", found),
            connectors: components(&root, "connectors", found),
            extensions: components(&root, "extensions", found),
            service: Service::from_root(&root, found),
            root,
        }
    }
}

impl Service {
    fn from_root(root: &Node, found: &mut Diagnostics) -> Self {
        let node = section(root, "service", found);
        unknown_keys(&node, &SERVICE_KEYS, found);
        let shutdown_timeout = match node.get("shutdown_timeout").filter(|node| !node.is_null()) {
            None => DEFAULT_SHUTDOWN_TIMEOUT,
            Some(node) => match node.read::<crate::GoDuration>() {
                Ok(duration) => duration.0,
                Err(errors) => {
                    found.extend(errors);
                    DEFAULT_SHUTDOWN_TIMEOUT
                }
            },
        };
        let pipelines = section(&node, "pipelines", found);
        Self {
            extensions: references(&node, "extensions", found),
            pipelines: pipelines
                .entries()
                .filter_map(|entry| Pipeline::from_entry(&pipelines, entry, found))
                .collect(),
            telemetry: section(&node, "telemetry", found),
            shutdown_timeout,
            node,
        }
    }
}

impl Pipeline {
    fn from_entry(pipelines: &Node, entry: &crate::Entry, found: &mut Diagnostics) -> Option<Self> {
        let node = section(pipelines, &entry.key, found);
        unknown_keys(&node, &PIPELINE_KEYS, found);
        let receivers = without_repeats(references(&node, "receivers", found), "receiver", found);
        let processors = references(&node, "processors", found);
        let exporters = without_repeats(references(&node, "exporters", found), "exporter", found);
        match entry.key.parse() {
            Ok(id) => Some(Self {
                id,
                receivers,
                processors,
                exporters,
                location: entry.key_location.clone(),
                node,
            }),
            Err(error) => {
                found.push(pipelines.error_at_key(&entry.key, error.to_string()));
                None
            }
        }
    }
}

/// The mapping under `key`; an empty one when it is absent or null, and after an error when it is something else.
fn section(parent: &Node, key: &str, found: &mut Diagnostics) -> Node {
    match parent.get(key) {
        Some(node) if node.is_null() || matches!(node.value, Value::Mapping(_)) => node.clone(),
        Some(node) => {
            found.push(node.error_at(&[], "expected a mapping"));
            parent.empty_child(key)
        }
        None => parent.empty_child(key),
    }
}

fn components(root: &Node, key: &str, found: &mut Diagnostics) -> Components {
    let node = section(root, key, found);
    let mut components = Components::new();
    for entry in node.entries() {
        match entry.key.parse::<ComponentId>() {
            Err(error) => found.push(node.error_at_key(&entry.key, error.to_string())),
            Ok(id) if components.iter().any(|(known, _)| *known == id) => {
                found.push(node.error_at_key(&entry.key, format!("the id `{id}` is here twice")));
            }
            Ok(id) => components.push((id, entry.value.clone())),
        }
    }
    components
}

fn references(parent: &Node, key: &str, found: &mut Diagnostics) -> Vec<Located<ComponentId>> {
    let Some(node) = parent.get(key) else { return Vec::new() };
    let mut references = Vec::new();
    match &node.value {
        Value::Sequence(items) => {
            for item in items {
                match item.as_str().unwrap_or_default().parse::<ComponentId>() {
                    Ok(value) => references.push(Located { value, node: item.clone() }),
                    Err(error) => found.push(item.error_at(&[], error.to_string())),
                }
            }
        }
        Value::Null => {}
        Value::Scalar(scalar) => {
            let help = format!("write `{key}: [{}]`", scalar.text);
            found.push(node.error_at(&[], "expected a list of ids").with_help(help));
        }
        Value::Mapping(_) => found.push(node.error_at(&[], "expected a list of ids, found a mapping")),
    }
    references
}

/// Receivers and exporters of a pipeline are a set to the collector: a repetition changes nothing.
fn without_repeats(
    list: Vec<Located<ComponentId>>,
    kind: &str,
    found: &mut Diagnostics,
) -> Vec<Located<ComponentId>> {
    let mut kept: Vec<Located<ComponentId>> = Vec::with_capacity(list.len());
    for reference in list {
        if kept.iter().any(|earlier| earlier.value == reference.value) {
            let message = format!("the {kind} `{}` is here twice: once counts", reference.value);
            found.push(reference.error(message).into_warning());
        } else {
            kept.push(reference);
        }
    }
    kept
}

fn unknown_keys(node: &Node, known: &[&str], found: &mut Diagnostics) {
    for entry in node.entries().filter(|entry| !known.contains(&entry.key.as_str())) {
        let error = node.error_at_key(&entry.key, format!("unknown key `{}`", entry.key));
        let help = suggest::help(&entry.key, known.iter().copied());
        found.push(error.with_help(help.unwrap_or_default()));
    }
}
