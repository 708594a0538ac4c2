//! What must hold between the sections, whatever the components are.

use super::{Components, Located, Pipeline, Spec};
use crate::diagnostic::{Diagnostics, Severity};
use crate::id::ComponentId;
use crate::suggest;

const SIGNALS: [&str; 1] = ["traces"];

/// Adds what is wrong between sections to `found`, which has what is wrong inside of them; what only follows
/// from that is left out.
pub(super) fn check(spec: &Spec, found: &mut Diagnostics) {
    let told: Vec<String> =
        found.iter().filter(|d| d.severity == Severity::Error).map(|d| d.path.clone()).collect();
    // An unknown top-level key is probably a misspelt section: nobody knows what it defines or uses.
    let sections_known = !told.iter().any(|path| !path.contains(['.', '[']) && !path.is_empty());
    let sound = |path: &str| {
        sections_known
            && !told.iter().any(|at| {
                at == path || at.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '[']))
            })
    };
    for pipeline in &spec.service.pipelines {
        check_pipeline(spec, pipeline, &sound, found);
    }
    if spec.service.pipelines.is_empty() && sound("service") {
        let error = match spec.root.get("service") {
            None => spec.root.error_at(&[], "there is no `service` section, and so no pipeline"),
            Some(service) => service.error_at(&["pipelines"], "there is no pipeline: nothing would run"),
        };
        let help = "under `service.pipelines`, `traces` lists `receivers`, `processors` and `exporters`";
        found.push(error.with_help(help));
    }
    if sound("connectors") && sound("service.pipelines") {
        check_connectors(spec, found);
    }
    check_references(&spec.service.extensions, "extension", &[&spec.extensions], sound("extensions"), found);
    if told.is_empty() {
        check_unused(spec, found);
    }
}

fn check_pipeline(spec: &Spec, pipeline: &Pipeline, sound: &dyn Fn(&str) -> bool, found: &mut Diagnostics) {
    let signal = pipeline.id.kind.as_str();
    if !SIGNALS.contains(&signal) {
        let (message, help) = match signal {
            "metrics" | "logs" | "profiles" => {
                let message = format!("pipelines of `{signal}` are not supported yet");
                (message, Some("this version runs pipelines of `traces` only: take this one out".to_owned()))
            }
            _ => (format!("unknown signal `{signal}`"), suggest::help(signal, SIGNALS.into_iter())),
        };
        let error = spec.service.node.error_at(&["pipelines"], message);
        let at = crate::Diagnostic {
            location: pipeline.location.clone(),
            path: pipeline.node.path().to_owned(),
            help,
            ..error
        };
        found.push(at.with_source(&pipeline.node.source));
        return;
    }
    let whole = sound(pipeline.node.path());
    if pipeline.receivers.is_empty() && whole {
        found.push(at_pipeline(pipeline, "receivers", "a pipeline needs at least one receiver"));
    }
    if pipeline.exporters.is_empty() && whole {
        found.push(at_pipeline(pipeline, "exporters", "a pipeline needs at least one exporter"));
    }
    let joined = sound("connectors");
    let receivers = [&spec.receivers, &spec.connectors];
    check_references(&pipeline.receivers, "receiver", &receivers, sound("receivers") && joined, found);
    check_references(&pipeline.processors, "processor", &[&spec.processors], sound("processors"), found);
    let exporters = [&spec.exporters, &spec.connectors];
    check_references(&pipeline.exporters, "exporter", &exporters, sound("exporters") && joined, found);
}

fn at_pipeline(pipeline: &Pipeline, key: &str, message: &str) -> crate::Diagnostic {
    let mut error = pipeline.node.error_at(&[key], message);
    if pipeline.node.get(key).is_none() {
        error.location = pipeline.location.clone();
        error = error.with_source(&pipeline.node.source);
    }
    error
}

/// `known` is whether the sections were read without errors.
fn check_references(
    list: &[Located<ComponentId>],
    kind: &str,
    sections: &[&Components],
    known: bool,
    found: &mut Diagnostics,
) {
    for (index, reference) in list.iter().enumerate() {
        // Of receivers and exporters the repetitions were left out before.
        if list[..index].iter().any(|earlier| earlier.value == reference.value) {
            found.push(reference.error(format!("the {kind} `{}` is here twice", reference.value)));
            continue;
        }
        let defined = sections.iter().flat_map(|section| section.iter()).map(|(id, _)| id);
        if known && !defined.clone().any(|id| *id == reference.value) {
            found.push(undefined(reference, kind, defined));
        }
    }
}

fn undefined<'a>(
    reference: &Located<ComponentId>,
    kind: &str,
    defined: impl Iterator<Item = &'a ComponentId>,
) -> crate::Diagnostic {
    let id = reference.value.to_string();
    let names: Vec<String> = defined.map(ToString::to_string).collect();
    let error = reference.error(format!("the {kind} `{id}` is not defined"));
    let of_kind = |name: &&String| name.split('/').next() == Some(reference.value.kind.as_str());
    if let (None, Some(near)) =
        (suggest::nearest(&id, names.iter().map(String::as_str)), names.iter().find(of_kind))
    {
        return error.with_help(format!("did you mean `{near}`?"));
    }
    match suggest::help(&id, names.iter().map(String::as_str)) {
        Some(help) => error.with_help(help),
        None => error.with_help(format!("define it under `{kind}s:`")),
    }
}

/// The collector refuses a connector whose id is a receiver's or an exporter's, too, and one with a loose end.
fn check_connectors(spec: &Spec, found: &mut Diagnostics) {
    for (id, node) in &spec.connectors {
        for (kind, section) in [("a receiver", &spec.receivers), ("an exporter", &spec.exporters)] {
            if section.iter().any(|(other, _)| other == id) {
                let message = format!("the id `{id}` is both a connector and {kind}: rename one of them");
                found.push(key_error(spec, "connectors", id, node, message));
            }
        }
        let takes = spec.service.pipelines.iter().any(|pipeline| lists(&pipeline.exporters, id));
        let gives = spec.service.pipelines.iter().any(|pipeline| lists(&pipeline.receivers, id));
        if takes != gives {
            let missing = if takes { "a receiver" } else { "an exporter" };
            let message = format!("the connector `{id}` joins nothing: it is not {missing} of any pipeline");
            found.push(key_error(spec, "connectors", id, node, message));
        }
    }
}

fn check_unused(spec: &Spec, found: &mut Diagnostics) {
    let pipelines = &spec.service.pipelines;
    let in_pipeline = |id: &ComponentId, list: fn(&Pipeline) -> &[Located<ComponentId>]| {
        pipelines.iter().any(|pipeline| lists(list(pipeline), id))
    };
    let mut warn = |section: &str, kind: &str, id: &ComponentId, node| {
        let message = match kind {
            "extension" => format!("the extension `{id}` is not in `service.extensions`: it does not run"),
            _ => format!("no pipeline uses the {kind} `{id}`: it does not run"),
        };
        found.push(key_error(spec, section, id, node, message).into_warning());
    };
    for (id, node) in &spec.receivers {
        if !in_pipeline(id, |pipeline| &pipeline.receivers) {
            warn("receivers", "receiver", id, node);
        }
    }
    for (id, node) in &spec.processors {
        if !in_pipeline(id, |pipeline| &pipeline.processors) {
            warn("processors", "processor", id, node);
        }
    }
    for (id, node) in &spec.exporters {
        if !in_pipeline(id, |pipeline| &pipeline.exporters) {
            warn("exporters", "exporter", id, node);
        }
    }
    for (id, node) in &spec.connectors {
        let used = in_pipeline(id, |pipeline| &pipeline.receivers)
            || in_pipeline(id, |pipeline| &pipeline.exporters);
        if !used {
            warn("connectors", "connector", id, node);
        }
    }
    for (id, node) in &spec.extensions {
        if !lists(&spec.service.extensions, id) {
            warn("extensions", "extension", id, node);
        }
    }
}

fn lists(list: &[Located<ComponentId>], id: &ComponentId) -> bool {
    list.iter().any(|reference| reference.value == *id)
}

/// An error at the key of a component.
fn key_error(
    spec: &Spec,
    section: &str,
    id: &ComponentId,
    node: &crate::Node,
    message: String,
) -> crate::Diagnostic {
    let section = spec.root.get(section);
    let entry = section.and_then(|section| {
        section.entries().find(|entry| entry.value.path() == node.path()).map(|entry| (section, entry))
    });
    match entry {
        Some((section, entry)) => section.error_at_key(&entry.key, message),
        None => node.error_at(&[&id.to_string()], message),
    }
}
