//! What will run: every component configured, nothing built yet. Pure.

use forebay_component::{
    BuildExporter, BuildExtension, BuildProcessor, BuildReceiver, ExporterFactory, ExtensionFactory, Factory,
    ProcessorFactory, ReceiverFactory,
};
use forebay_config::{ComponentId, Diagnostics, Node, REDACTED, Spec, nearest};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The component types that exist.
#[derive(Clone, Copy)]
pub struct Components {
    /// Sources.
    pub receivers: &'static [&'static ReceiverFactory],
    /// Stages.
    pub processors: &'static [&'static ProcessorFactory],
    /// Sinks.
    pub exporters: &'static [&'static ExporterFactory],
    /// What stands beside the pipelines.
    pub extensions: &'static [&'static ExtensionFactory],
}

/// One pipeline: references to shared receivers and exporters, processors of its own.
pub(crate) struct PipelinePlan {
    pub id: String,
    pub receivers: Vec<ComponentId>,
    pub processors: Vec<(ComponentId, Box<dyn BuildProcessor>)>,
    pub exporters: Vec<ComponentId>,
}

/// A configuration that has been checked in full and can be started.
pub struct Plan {
    pub(crate) receivers: Vec<(ComponentId, Box<dyn BuildReceiver>)>,
    pub(crate) exporters: Vec<(ComponentId, Box<dyn BuildExporter>)>,
    pub(crate) extensions: Vec<(ComponentId, Box<dyn BuildExtension>)>,
    pub(crate) pipelines: Vec<PipelinePlan>,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) edges: Arc<[tokio::runtime::Handle]>,
    effective: Value,
}

impl Plan {
    /// Deals the connections of servers to these runtimes, of one thread each.
    #[must_use]
    pub fn with_edges(self, edges: Arc<[tokio::runtime::Handle]>) -> Self {
        Self { edges, ..self }
    }

    /// Configures every component of `spec`, those that no pipeline uses included, as the collector does.
    ///
    /// # Errors
    /// Every problem of every component, each at its place.
    pub fn new(spec: &Spec, components: &Components) -> Result<Self, Diagnostics> {
        let mut errors = Diagnostics::default();
        let mut effective = Map::new();
        let receivers = section(
            ("receivers", "receiver"),
            &spec.receivers,
            &spec.root,
            components.receivers,
            &mut errors,
        );
        effective.insert("receivers".into(), shown(&receivers, |plan| plan.effective()));
        let processors = section(
            ("processors", "processor"),
            &spec.processors,
            &spec.root,
            components.processors,
            &mut errors,
        );
        effective.insert("processors".into(), shown(&processors, |plan| plan.effective()));
        let exporters = section(
            ("exporters", "exporter"),
            &spec.exporters,
            &spec.root,
            components.exporters,
            &mut errors,
        );
        effective.insert("exporters".into(), shown(&exporters, |plan| plan.effective()));
        section::<dyn BuildReceiver>(
            ("connectors", "connector"),
            &spec.connectors,
            &spec.root,
            &[],
            &mut errors,
        );
        let mut extensions = section(
            ("extensions", "extension"),
            &spec.extensions,
            &spec.root,
            components.extensions,
            &mut errors,
        );
        effective.insert("extensions".into(), shown(&extensions, |plan| plan.effective()));
        if errors.has_errors() {
            return Err(errors);
        }

        let mut pipelines = Vec::new();
        for pipeline in &spec.service.pipelines {
            let mut own = Vec::new();
            for id in &pipeline.processors {
                // Each pipeline has an instance of its own; the section was configured above without an error.
                let node = spec.processors.iter().find(|(known, _)| *known == id.value).map(|(_, node)| node);
                let factory =
                    components.processors.iter().find(|factory| factory.info.answers_to(&id.value.kind));
                if let (Some(node), Some(factory)) = (node, factory) {
                    own.push((id.value.clone(), (factory.configure)(node)?));
                }
            }
            pipelines.push(PipelinePlan {
                id: pipeline.id.to_string(),
                receivers: pipeline.receivers.iter().map(|id| id.value.clone()).collect(),
                processors: own,
                exporters: pipeline.exporters.iter().map(|id| id.value.clone()).collect(),
            });
        }
        let used = |id: &ComponentId, refs: fn(&PipelinePlan) -> &Vec<ComponentId>| {
            pipelines.iter().any(|pipeline| refs(pipeline).contains(id))
        };
        let receivers =
            receivers.into_iter().filter(|(id, _)| used(id, |pipeline| &pipeline.receivers)).collect();
        let exporters =
            exporters.into_iter().filter(|(id, _)| used(id, |pipeline| &pipeline.exporters)).collect();
        extensions.retain(|(id, _)| spec.service.extensions.iter().any(|used| used.value == *id));
        let shutdown_timeout = spec.service.shutdown_timeout;
        let wiring: Map<String, Value> =
            pipelines.iter().map(|pipeline| (pipeline.id.clone(), pipeline.wiring())).collect();
        effective.insert("service".into(), json!({ "pipelines": wiring }));
        let mut effective = Value::Object(effective);
        hide_passwords(&mut effective);
        Ok(Self {
            receivers,
            exporters,
            extensions,
            pipelines,
            shutdown_timeout,
            edges: Arc::default(),
            effective,
        })
    }

    /// The effective configuration: defaults filled in, secrets redacted, passwords in URLs included.
    pub fn effective(&self) -> &Value {
        &self.effective
    }

    /// How long a graceful stop may take.
    pub fn shutdown_timeout(&self) -> Duration {
        self.shutdown_timeout
    }
}

impl PipelinePlan {
    pub fn wiring(&self) -> Value {
        let names = |ids: &[ComponentId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        json!({
            "receivers": names(&self.receivers),
            "processors": self.processors.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>(),
            "exporters": names(&self.exporters),
        })
    }
}

/// Configures one section's components.
fn section<Plan: ?Sized>(
    (key, kind): (&str, &str),
    entries: &[(ComponentId, Node)],
    root: &Node,
    factories: &[&Factory<Plan>],
    errors: &mut Diagnostics,
) -> Vec<(ComponentId, Box<Plan>)> {
    let mut plans = Vec::new();
    for (id, node) in entries {
        match factories.iter().find(|factory| factory.info.answers_to(&id.kind)) {
            Some(factory) => match (factory.configure)(node) {
                Ok(plan) => plans.push((id.clone(), plan)),
                Err(found) => errors.extend(found),
            },
            None => {
                let at = root.get(key).unwrap_or(root);
                let mut error =
                    at.error_at_key(&id.to_string(), format!("there is no {kind} type `{}`", id.kind));
                let names = factories.iter().flat_map(|factory| {
                    std::iter::once(factory.info.kind).chain(factory.info.aliases.iter().copied())
                });
                let supported: Vec<&str> = factories.iter().map(|factory| factory.info.kind).collect();
                error = error.with_help(match nearest(&id.kind, names) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None if supported.is_empty() => format!("no {kind} is supported yet"),
                    None => format!("supported: {}", supported.join(", ")),
                });
                errors.push(error);
            }
        }
    }
    plans
}

/// Hides the `user:password@` of every URL: no component keeps such an endpoint as a secret of its own.
fn hide_passwords(value: &mut Value) {
    match value {
        Value::String(text) => {
            let Some(start) = text.find("://").map(|at| at + 3) else { return };
            let authority = text[start..].split(['/', '?', '#']).next().unwrap_or_default();
            if let Some(end) = authority.rfind('@') {
                text.replace_range(start..start + end, REDACTED);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide_passwords),
        Value::Object(entries) => entries.values_mut().for_each(hide_passwords),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn shown<Plan: ?Sized>(plans: &[(ComponentId, Box<Plan>)], effective: impl Fn(&Plan) -> Value) -> Value {
    Value::Object(plans.iter().map(|(id, plan)| (id.to_string(), effective(plan))).collect())
}
