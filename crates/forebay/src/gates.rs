//! `--feature-gates`: the collector's gates that mean something here.

use forebay_config::{Spec, nearest};

/// A gate that the collector has off by default.
struct Gate {
    id: &'static str,
    /// The processor type and its key that is true while the gate is on; none for what is always on.
    key: Option<(&'static str, &'static str)>,
}

const GATES: [Gate; 2] = [
    Gate {
        id: "processor.tailsamplingprocessor.recordpolicy",
        key: Some(("tail_sampling", "record_policy")),
    },
    Gate { id: "processor.tailsamplingprocessor.metricstatcountspanssampled", key: None },
];

/// Applies gates as the collector takes them: `gate` or `+gate` switches on, `-gate` off, the last one counts. A key
/// that the configuration sets stays as it is.
pub fn apply(arguments: &[String], spec: &mut Spec) -> Result<(), String> {
    let mut switched = [None; GATES.len()];
    let mut errors = Vec::new();
    for argument in arguments.iter().flat_map(|argument| argument.split(',')) {
        let (id, on) = match argument.strip_prefix('-') {
            Some(id) => (id, false),
            None => (argument.strip_prefix('+').unwrap_or(argument), true),
        };
        match GATES.iter().position(|gate| gate.id == id) {
            None => errors.push(unknown(id)),
            Some(at) if !on && GATES[at].key.is_none() => {
                errors.push(format!("--feature-gates: `{id}` is always on here and cannot be switched off"));
            }
            Some(at) => switched[at] = Some(on),
        }
    }
    if !errors.is_empty() {
        return Err(errors.join("\n"));
    }
    for (gate, on) in GATES.iter().zip(switched) {
        let (Some((kind, key)), Some(true)) = (gate.key, on) else { continue };
        for (_, node) in spec.processors.iter_mut().filter(|(id, _)| id.kind == kind) {
            node.set_default(key, true);
        }
    }
    Ok(())
}

fn unknown(id: &str) -> String {
    let known = GATES.map(|gate| gate.id);
    let help = match nearest(id, known.into_iter()) {
        Some(close) => format!("did you mean `{close}`?"),
        None => format!("known: {}", known.join(", ")),
    };
    format!("--feature-gates: there is no feature gate `{id}` here; {help}")
}
