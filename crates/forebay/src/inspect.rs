//! Commands that start nothing: `validate`, `print-config`, `components`.

use crate::cli::{ConfigArgs, PrintMode};
use crate::components::COMPONENTS;
use forebay_component::Info;
use forebay_config::{Diagnostics, Source, Spec};
use forebay_telemetry::config::TelemetryConfig;
use forebay_topology::Plan;
use std::fmt::Write;
use std::io::Write as _;

/// A configuration that has been checked in full.
pub struct Checked {
    pub spec: Spec,
    pub telemetry: TelemetryConfig,
    pub plan: Plan,
    pub warnings: Diagnostics,
}

/// Reads and checks the configuration; pure but for reading files and variables.
pub fn check(args: &ConfigArgs) -> Result<Checked, String> {
    if args.config.is_empty() {
        return Err("no configuration: give at least one --config FILE, such as config/demo.yaml".to_owned());
    }
    let sources: Result<Vec<Source>, Diagnostics> =
        args.config.iter().map(|config| Source::parse(config)).collect();
    let said = |errors: Diagnostics| errors.to_string();
    let sources = sources.map_err(said)?;
    let env = |name: &str| std::env::var(name).ok();
    let (mut spec, warnings) =
        forebay_config::load(&sources, &env, &|path| std::fs::read_to_string(path)).map_err(said)?;
    crate::gates::apply(&args.feature_gates, &mut spec)?;
    // Both are looked at, so that one run says everything.
    let telemetry = forebay_telemetry::config::parse(&spec.service.telemetry);
    let plan = Plan::new(&spec, &COMPONENTS);
    let mut warnings = Diagnostics(warnings);
    match (telemetry, plan) {
        (Ok(telemetry), Ok(plan)) => {
            warnings.extend(telemetry.warnings.clone());
            Ok(Checked { spec, telemetry, plan, warnings })
        }
        (telemetry, plan) => {
            warnings.extend(telemetry.err().unwrap_or_default());
            warnings.extend(plan.err().unwrap_or_default());
            Err(said(warnings))
        }
    }
}

pub fn validate(args: &ConfigArgs) -> Result<(), String> {
    let checked = check(args)?;
    for warning in checked.warnings.iter() {
        eprintln!("{warning}");
    }
    print(&format!("{}: valid\n", args.config.join(", ")))
}

pub fn print_config(args: &ConfigArgs, mode: PrintMode) -> Result<(), String> {
    let checked = check(args)?;
    match mode {
        PrintMode::Unredacted => print(&forebay_config::to_yaml(&checked.spec.root)),
        PrintMode::Redacted => {
            print(&serde_yaml::to_string(checked.plan.effective()).map_err(|error| error.to_string())?)
        }
    }
}

pub fn components() -> Result<(), String> {
    let mut text = format!("forebay {}\n", env!("CARGO_PKG_VERSION"));
    let mut list = |kind: &str, infos: Vec<Info>| {
        let _ = writeln!(text, "{kind}:"); // writing to a String cannot fail
        for info in infos {
            let aliases = match info.aliases {
                [] => String::new(),
                aliases => format!(" (alias {})", aliases.join(", ")),
            };
            let _ = writeln!(text, "  {}{aliases}: {}", info.kind, info.description);
        }
    };
    list("receivers", COMPONENTS.receivers.iter().map(|factory| factory.info).collect());
    list("processors", COMPONENTS.processors.iter().map(|factory| factory.info).collect());
    list("exporters", COMPONENTS.exporters.iter().map(|factory| factory.info).collect());
    list("extensions", COMPONENTS.extensions.iter().map(|factory| factory.info).collect());
    print(&text)
}

/// Writes to standard output; a closed pipe is not an error worth a trace.
pub fn print(text: &str) -> Result<(), String> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.to_string()),
        _ => Ok(()),
    }
}
