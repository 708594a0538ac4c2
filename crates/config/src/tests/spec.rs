use std::io;
use std::path::Path;
use std::time::Duration;

use super::brief;
use crate::{ComponentId, Diagnostic, Diagnostics, Source, Spec, load, to_yaml};

fn load_all(texts: &[&str]) -> Result<(Spec, Vec<Diagnostic>), Diagnostics> {
    let source = |(index, text): (usize, &&str)| Source::Yaml {
        name: format!("{index}.yaml"),
        text: (*text).to_owned(),
    };
    let sources: Vec<_> = texts.iter().enumerate().map(source).collect();
    load(&sources, &|_| None, &|_: &Path| Err(io::ErrorKind::NotFound.into()))
}

fn found(text: &str) -> Vec<String> {
    match load_all(&[text]) {
        Ok((_, warnings)) => brief(&warnings),
        Err(problems) => brief(&problems.0),
    }
}

const GOOD: &str = "\
receivers:
  otlp:
processors:
  batch:
exporters:
  otlp/a: {endpoint: x}
  debug:
service:
  pipelines:
    traces:
      receivers: [otlp]
      processors: [batch]
      exporters: [otlp/a, debug]
";

#[test]
fn a_good_one() {
    let (spec, warnings) = load_all(&[GOOD]).unwrap();
    assert!(warnings.is_empty());
    let ids = |list: &crate::Components| list.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>();
    assert_eq!(
        (ids(&spec.receivers), ids(&spec.exporters)),
        (vec!["otlp".into()], vec!["otlp/a".into(), "debug".into()])
    );
    let pipeline = &spec.service.pipelines[0];
    assert_eq!(pipeline.id, ComponentId::new("traces", None));
    assert_eq!(pipeline.exporters[1].value.to_string(), "debug");
    assert_eq!(pipeline.exporters[1].location().to_string(), "0.yaml:13:27");
    assert_eq!(pipeline.location.to_string(), "0.yaml:10:5");
    assert_eq!(spec.service.shutdown_timeout, Duration::from_secs(30));
    assert!(spec.service.telemetry.is_null());
    assert_eq!(spec.service.telemetry.path(), "service.telemetry");
}

#[test]
fn later_sources_win_and_keep_their_places() {
    let later = "exporters: {otlp/a: {timeout: 1s}}\nservice:\n  shutdown_timeout: 5s\n  pipelines:\n    traces:\n      processors: []\n";
    let (spec, warnings) = load_all(&[GOOD, "", later, "exporters::otlp/a::endpoint: y"]).unwrap();
    assert_eq!(
        brief(&warnings),
        ["4:3: processors.batch: no pipeline uses the processor `batch`: it does not run"]
    );
    let settings = &spec.exporters[0].1;
    assert_eq!(settings.get("timeout").unwrap().location().to_string(), "2.yaml:1:31");
    let endpoint = settings.get("endpoint").unwrap();
    assert_eq!((endpoint.as_str(), endpoint.location().to_string()), (Some("y"), "3.yaml:1:30".to_owned()));
    assert!(spec.service.pipelines[0].processors.is_empty());
    assert_eq!(spec.service.shutdown_timeout, Duration::from_secs(5));
}

#[test]
fn unknown_sections_and_keys() {
    let text = GOOD
        .replace("processors:\n  batch:", "procesors:\n  batch:")
        .replace("  pipelines:", "  telemetri: {}\n  pipelines:");
    let text = text.replace("      receivers: [otlp]", "      receivers: [otlp]\n      recievers: [otlp]");
    let problems = load_all(&[&text]).unwrap_err();
    assert_eq!(
        brief(&problems.0),
        [
            "3:1: procesors: unknown key `procesors`",
            "9:3: service.telemetri: unknown key `telemetri`",
            "13:7: service.pipelines.traces.recievers: unknown key `recievers`",
        ]
    );
    assert!(problems.0[0].help.as_deref().unwrap().starts_with("did you mean `processors`?"));
    assert!(problems.0[2].help.as_deref().unwrap().starts_with("did you mean `receivers`?"));
}

#[test]
fn references_must_be_defined() {
    let text = GOOD.replace("[otlp/a, debug]", "[otlp/b, debug, zipkin]").replace("[batch]", "[bach]");
    let problems = load_all(&[&text]).unwrap_err();
    let lines = brief(&problems.0);
    assert_eq!(
        lines[..3],
        [
            "12:20: service.pipelines.traces.processors[0]: the processor `bach` is not defined",
            "13:19: service.pipelines.traces.exporters[0]: the exporter `otlp/b` is not defined",
            "13:34: service.pipelines.traces.exporters[2]: the exporter `zipkin` is not defined",
        ]
    );
    assert!(problems.0[1].help.as_deref().unwrap().starts_with("did you mean `otlp/a`?"));
}

#[test]
fn an_id_of_the_same_type_is_near() {
    let problems = load_all(&[&GOOD.replace("[otlp/a, debug]", "[otlp, debug]")]).unwrap_err();
    assert_eq!(problems.0[0].help.as_deref(), Some("did you mean `otlp/a`?"));
}

#[test]
fn independent_problems_are_told_together_and_what_follows_is_not() {
    let text = GOOD
        .replace("  batch:", "  1batch:")
        .replace("debug]", "nope]")
        .replace("  pipelines:", "  x: 1\n  pipelines:");
    assert_eq!(
        found(&text),
        [
            "4:3: processors.1batch: the type `1batch` in an id starts with a letter and goes on with letters, digits \
             and `_`, at most 63 in all",
            "9:3: service.x: unknown key `x`",
            "14:27: service.pipelines.traces.exporters[1]: the exporter `nope` is not defined",
        ]
    );
    assert_eq!(found(&GOOD.replace("service:", "servce:")), ["8:1: servce: unknown key `servce`"]);
}

#[test]
fn pipelines_need_both_ends() {
    let text = "receivers: {otlp: }\nexporters: {debug: }\nservice:\n  pipelines:\n    traces:\n      receivers: []\n    traces/b:\n";
    assert_eq!(
        found(text)[..4],
        [
            "6:18: service.pipelines.traces.receivers: a pipeline needs at least one receiver",
            "5:5: service.pipelines.traces.exporters: a pipeline needs at least one exporter",
            "7:5: service.pipelines.traces/b.receivers: a pipeline needs at least one receiver",
            "7:5: service.pipelines.traces/b.exporters: a pipeline needs at least one exporter",
        ]
    );
}

#[test]
fn there_must_be_a_pipeline() {
    assert_eq!(found("receivers: {otlp: }\n")[0], "1:1: : there is no `service` section, and so no pipeline");
    let text = "receivers: {otlp: }\nservice:\n  extensions: []\n";
    assert_eq!(found(text)[0], "3:3: service.pipelines: there is no pipeline: nothing would run");
    assert_eq!(found("")[0], "1:1: : there is no `service` section, and so no pipeline");
}

#[test]
fn only_traces_so_far() {
    let text = GOOD.replace("    traces:", "    metrics/x:");
    let problems = load_all(&[&text]).unwrap_err();
    assert_eq!(
        brief(&problems.0)[0],
        "10:5: service.pipelines.metrics/x: pipelines of `metrics` are not supported yet"
    );
    let text = GOOD.replace("    traces:", "    trace:");
    let problems = load_all(&[&text]).unwrap_err();
    assert_eq!(brief(&problems.0)[0], "10:5: service.pipelines.trace: unknown signal `trace`");
    assert!(problems.0[0].help.as_deref().unwrap().starts_with("did you mean `traces`?"));
}

#[test]
fn ids_are_checked() {
    let text = GOOD
        .replace("  debug:", "  1debug:")
        .replace("[otlp]", "[otlp/]")
        .replace("    traces:", "    traces/:");
    let lines = found(&text);
    let places: Vec<_> = lines.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["7:3", "11:19", "10:5"]);
    assert_eq!(
        found(&GOOD.replace("  debug:", "  debug:\n  'debug ':"))[0],
        "8:3: exporters.debug : the id `debug` is here twice"
    );
}

#[test]
fn duplicates_in_a_pipeline() {
    let lines = found(&GOOD.replace("[batch]", "[batch, batch]"));
    assert_eq!(lines, ["12:27: service.pipelines.traces.processors[1]: the processor `batch` is here twice"]);
    let (spec, warnings) = load_all(&[&GOOD.replace("[otlp/a, debug]", "[debug, otlp/a, debug]")]).unwrap();
    assert_eq!(
        brief(&warnings),
        ["13:34: service.pipelines.traces.exporters[2]: the exporter `debug` is here twice: once counts"]
    );
    assert_eq!(spec.service.pipelines[0].exporters.len(), 2);
}

#[test]
fn connectors_join_pipelines() {
    let text = "\
receivers: {otlp: }
exporters: {debug: }
connectors: {forward: }
service:
  pipelines:
    traces/in: {receivers: [otlp], exporters: [forward]}
    traces/out: {receivers: [forward], exporters: [debug]}
";
    assert!(found(text).is_empty());
    let loose = text.replace("receivers: [forward]", "receivers: [otlp]");
    assert_eq!(
        found(&loose),
        [
            "3:14: connectors.forward: the connector `forward` joins nothing: it is not a receiver of any pipeline"
        ]
    );
    let both = text.replace("{debug: }", "{debug: , forward: }");
    let message =
        "3:14: connectors.forward: the id `forward` is both a connector and an exporter: rename one of them";
    assert_eq!(found(&both)[0], message);
}

#[test]
fn extensions() {
    let text = GOOD.replace(
        "service:\n",
        "extensions:\n  health_check:\n  other:\nservice:\n  extensions: [health_check, halth_check]\n",
    );
    assert_eq!(
        found(&text)[..1],
        ["12:30: service.extensions[1]: the extension `halth_check` is not defined"]
    );
    let fine = text.replace(", halth_check", "");
    assert_eq!(
        found(&fine),
        ["10:3: extensions.other: the extension `other` is not in `service.extensions`: it does not run"]
    );
}

#[test]
fn wrong_shapes() {
    let lines = found(
        "receivers: [otlp]\nexporters: x\nservice:\n  shutdown_timeout: 5 minutes\n  extensions: {a: b}\n  pipelines:\n    traces: 5\n    traces/b:\n      receivers: otlp\n      exporters: [[x]]\n",
    );
    let places: Vec<_> = lines.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["1:12", "2:12", "4:21", "5:15", "7:13", "9:18", "10:19"]);
    assert_eq!(
        found("- a\n"),
        ["1:1: : a configuration is a mapping with `receivers`, `exporters`, `service`"]
    );
}

#[test]
fn sources_by_their_arguments() {
    let parse = |argument| Source::parse(argument).unwrap();
    assert_eq!(parse("a/b.yaml"), Source::File("a/b.yaml".into()));
    assert_eq!(parse("file:a.yaml"), Source::File("a.yaml".into()));
    assert_eq!(parse("c:\\a.yaml"), Source::File("c:\\a.yaml".into()));
    assert_eq!(parse("env:X"), Source::Env("X".into()));
    assert_eq!(parse("yaml:a: 1"), Source::Yaml { name: "yaml:".into(), text: "a: 1".into() });
    assert!(Source::parse("http://x").is_err());
    let missing = load(&[Source::File("n.yaml".into()), Source::Env("X".into())], &|_| None, &|_: &Path| {
        Err(io::ErrorKind::NotFound.into())
    });
    let places: Vec<_> =
        missing.unwrap_err().iter().map(|problem| problem.location.file.to_string()).collect();
    assert_eq!(places, ["n.yaml", "env:X"]);
}

#[test]
fn printing_reads_back_the_same() {
    let text = format!(
        "{GOOD}\n  telemetry: {{a: $$x, b: '5', c: 5, d: 'yes', e: '0x1', f: ~, g: '1_0', h: .5, i: '~'}}\n"
    );
    let (spec, _) = load_all(&[&text]).unwrap();
    let printed = to_yaml(&spec.root);
    let (again, _) = load_all(&[&printed]).unwrap();
    assert_eq!(to_yaml(&again.root), printed);
    assert!(printed.contains("a: $$x"), "{printed}");
}

#[test]
fn printing_keeps_the_shape() {
    let text = "a: 0x1F\nb:\n  - c: 007\n    d: []\n  - - x\n    - y: {}\n  - null\ne: |\n  one\n   two\n\n  three\nf: \"1\"\n";
    let printed = to_yaml(&crate::Node::parse_str("f", text).unwrap());
    let expected = "a: 0x1F\nb:\n  - c: 007\n    d: []\n  -\n    - x\n    - y: {}\n  - null\ne: |\n  one\n   two\n\n  three\nf: '1'\n";
    assert_eq!(printed, expected);
}

#[test]
fn printing_can_hide_secrets() {
    let text = "headers: {X-Key: abc, y: [q]}\nclient-secret: hunter\nauth: {token: t}\nendpoint: e\n";
    let printed = crate::to_yaml_redacted(&crate::Node::parse_str("f", text).unwrap());
    let expected = "headers:\n  X-Key: '[REDACTED]'\n  y:\n    - '[REDACTED]'\nclient-secret: '[REDACTED]'\nauth:\n  token: '[REDACTED]'\nendpoint: e\n";
    assert_eq!(printed, expected);
}
