//! Cases: what is configured, what is sent, and which differences are meant.

use std::ops::Range;
use std::time::Duration;

use forebay_config::{GoDuration, Node};

use crate::corpus::{Quirk, SCENARIOS};
use crate::generate;

/// The files of cases, embedded: golden files and documentation follow their order.
const FILES: [(&str, &str); 8] = [
    ("attributes.yaml", include_str!("../cases/attributes.yaml")),
    ("traces.yaml", include_str!("../cases/traces.yaml")),
    ("combined.yaml", include_str!("../cases/combined.yaml")),
    ("conditions.yaml", include_str!("../cases/conditions.yaml")),
    ("limits.yaml", include_str!("../cases/limits.yaml")),
    ("timing.yaml", include_str!("../cases/timing.yaml")),
    ("differences.yaml", include_str!("../cases/differences.yaml")),
    ("refused.yaml", include_str!("../cases/refused.yaml")),
];

/// The collector evaluates once a second.
const TICK: Duration = Duration::from_secs(1);
/// For requests and ticks that come late on a busy machine.
const SLACK: Duration = Duration::from_millis(1200);

/// One comparison.
#[derive(Clone, Debug)]
pub struct Case {
    /// Unique; lower case and dashes.
    pub name: String,
    /// The file it stands in, without ending; `random` for those made by code.
    pub group: String,
    /// What it shows.
    pub about: String,
    /// Which of [`SCENARIOS`] is played.
    pub scenario: String,
    /// The least time from the first span of a trace to its decision.
    pub wait: Duration,
    /// How long to wait between the scenario's parts; the last wait is `decision_wait` and a tick at least.
    pub settle: Duration,
    /// The wait at the end; none stops the agent while traces are undecided.
    pub settle_at_end: Duration,
    /// Compare how many traces and spans are kept, not which: the collector's order is random.
    pub counts_only: bool,
    /// The collector's feature gates that both are started with.
    pub feature_gates: Option<String>,
    /// The difference that is meant, if any.
    pub differs: Option<Difference>,
    /// Why Forebay refuses the section, if it does: only the collector is played to.
    pub refused: Option<String>,
    /// The `tail_sampling` section.
    pub section: Node,
}

/// A difference on purpose.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Only traces with one of these differ; with none, any may.
    pub quirks: Vec<Quirk>,
    /// Why.
    pub why: String,
}

/// All cases in order; those made from seeds come last.
///
/// # Errors
/// What is wrong with a file, with its place.
pub fn all() -> Result<Vec<Case>, String> {
    let mut cases = Vec::new();
    for (file, text) in FILES {
        read(file, text, &mut cases)?;
    }
    cases.extend(generated(0..generate::COUNT)?);
    let mut names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("two cases are called {}", pair[0])),
        None => Ok(cases),
    }
}

/// The cases made from these seeds.
///
/// # Errors
/// A mistake in the generator.
pub fn generated(seeds: Range<u64>) -> Result<Vec<Case>, String> {
    let mut cases = Vec::new();
    for seed in seeds {
        read("random.yaml", &generate::case(seed), &mut cases)?;
    }
    Ok(cases)
}

fn read(file: &str, text: &str, cases: &mut Vec<Case>) -> Result<(), String> {
    let root = Node::parse_str(file, text).map_err(|errors| errors.to_string())?;
    let group = file.trim_end_matches(".yaml");
    for node in root.items() {
        cases.push(case(group, node)?);
    }
    Ok(())
}

fn case(group: &str, node: &Node) -> Result<Case, String> {
    const KEYS: [&str; 10] = [
        "name",
        "about",
        "scenario",
        "settle",
        "settle_at_end",
        "compare",
        "feature_gates",
        "differs",
        "refused",
        "tail_sampling",
    ];
    let wrong = |key: &str, message: &str| node.error_at(&[key], message).to_string();
    if let Some(entry) = node.entries().find(|entry| !KEYS.contains(&entry.key.as_str())) {
        return Err(node.error_at_key(&entry.key, format!("known keys: {}", KEYS.join(", "))).to_string());
    }
    let text = |key: &str| node.get(key).and_then(Node::as_str);
    let section = node.get("tail_sampling").ok_or_else(|| wrong("tail_sampling", "is missing"))?.clone();
    let scenario = text("scenario").unwrap_or("tasks").to_owned();
    if !SCENARIOS.contains(&scenario.as_str()) {
        return Err(wrong("scenario", "is not known"));
    }
    let read =
        |node: &Node| node.read::<GoDuration>().map(Duration::from).map_err(|errors| errors.to_string());
    let setting = |key: &str| section.get(key).map(read).transpose();
    let wait = setting("decision_wait")?
        .ok_or_else(|| wrong("tail_sampling", "needs a decision_wait, a short one"))?;
    let root_wait = setting("decision_wait_after_root_received")?;
    let whole = wait + TICK + SLACK;
    let differs = node.get("differs").map(|differs| {
        let quirk = |name: &Node| {
            let name = name.as_str().unwrap_or_default();
            let known = Quirk::NAMES.iter().find(|(known, _)| *known == name);
            known
                .map(|(_, quirk)| *quirk)
                .ok_or_else(|| wrong("differs", &format!("no quirk is called `{name}`")))
        };
        let quirks = differs
            .get("quirks")
            .map(Node::items)
            .into_iter()
            .flatten()
            .map(quirk)
            .collect::<Result<_, _>>()?;
        let why = differs
            .get("why")
            .and_then(Node::as_str)
            .ok_or_else(|| wrong("differs", "does not say `why`"))?;
        Ok::<_, String>(Difference { quirks, why: why.to_owned() })
    });
    Ok(Case {
        name: text("name").ok_or_else(|| wrong("name", "is missing"))?.to_owned(),
        group: group.to_owned(),
        about: text("about").unwrap_or_default().to_owned(),
        scenario,
        wait: root_wait.map_or(wait, |root| wait.min(root)),
        settle: node.get("settle").map(read).transpose()?.unwrap_or(whole),
        settle_at_end: node.get("settle_at_end").map(read).transpose()?.unwrap_or(whole),
        counts_only: match text("compare") {
            None | Some("spans") => false,
            Some("counts") => true,
            Some(_) => return Err(wrong("compare", "is neither `spans` nor `counts`")),
        },
        feature_gates: text("feature_gates").map(str::to_owned),
        differs: differs.transpose()?,
        refused: text("refused").map(str::to_owned),
        section,
    })
}
