//! The words agent systems use: services, agents, tools, models.

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;

/// A service of the agent system; each sends its own OTLP requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// Owns the task and its root span.
    Orchestrator,
    /// Turns a goal into steps.
    Planner,
    /// Calls the models.
    LlmGateway,
    /// Runs tools.
    ToolRunner,
    /// Searches documents.
    Retriever,
    /// Keeps what agents remember.
    Memory,
}

impl Service {
    /// Every service.
    pub const ALL: [Service; 6] = [
        Self::Orchestrator,
        Self::Planner,
        Self::LlmGateway,
        Self::ToolRunner,
        Self::Retriever,
        Self::Memory,
    ];

    /// The resource attribute `service.name`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Orchestrator => "orchestrator",
            Self::Planner => "planner",
            Self::LlmGateway => "llm-gateway",
            Self::ToolRunner => "tool-runner",
            Self::Retriever => "retriever",
            Self::Memory => "memory",
        }
    }

    /// The service's position in [`Service::ALL`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The resource of the service's only instance.
    pub fn resource(self) -> Resource {
        let name = self.name();
        Resource {
            attributes: vec![
                text("service.name", name),
                text("service.namespace", "agents"),
                text("service.version", "2.7.1"),
                text("service.instance.id", format!("{name}-7d9f6c5b48-x2x{}", self.index())),
                text("deployment.environment.name", "demo"),
                text("host.name", format!("node-{}", self.index() % 3)),
                text("telemetry.sdk.name", "opentelemetry"),
                text("telemetry.sdk.language", "python"),
                text("telemetry.sdk.version", "1.39.0"),
            ],
            ..Default::default()
        }
    }

    /// The instrumentation scope of the service's spans.
    pub fn scope(self) -> InstrumentationScope {
        InstrumentationScope {
            name: format!("agents.{}", self.name().replace('-', "_")),
            version: "2.7.1".into(),
            ..Default::default()
        }
    }
}

/// What a task is for: its name and the agent that does it.
pub(crate) const TASKS: [(&str, &str); 10] = [
    ("resolve-support-ticket", "support-agent"),
    ("review-pull-request", "code-reviewer"),
    ("investigate-incident", "sre-agent"),
    ("summarize-contract", "legal-analyst"),
    ("reconcile-invoices", "finance-agent"),
    ("research-topic", "researcher"),
    ("triage-alerts", "sre-agent"),
    ("draft-release-notes", "docs-writer"),
    ("plan-migration", "architect"),
    ("answer-question", "assistant"),
];

/// Models: provider, name, and their price per million output tokens in US dollars.
pub(crate) const MODELS: [(&str, &str, f64); 4] = [
    ("anthropic", "claude-sonnet-4-5", 15.0),
    ("openai", "gpt-5-mini", 2.0),
    ("openai", "gpt-5", 10.0),
    ("aws.bedrock", "llama-4-maverick", 1.0),
];

pub(crate) const TOOLS: [&str; 8] =
    ["web_search", "run_sql", "read_file", "run_tests", "create_ticket", "send_email", "http_get", "python"];

/// Why a step fails: `error.type` and its message.
pub(crate) const FAILURES: [(&str, &str); 4] = [
    ("TimeoutError", "the tool did not answer within 30 s"),
    ("RateLimitError", "429: tokens per minute exceeded for this model"),
    ("PermissionError", "the agent may not write to this table"),
    ("ValidationError", "arguments do not match the schema of the tool"),
];

/// Filler for bodies such as a prompt's excerpt; ASCII, so that it may be cut anywhere.
pub(crate) const PROSE: &str = "The customer reports that exports larger than two gigabytes stop at ninety \
    percent. Compare the storage quota with the job's log, check whether the retry reached the same shard, and \
    propose the smallest safe change. Cite the runbook section you used, list what you could not verify, and ask \
    before you touch production data. Prefer a dry run; keep the answer under two hundred words. ";

pub(crate) fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

pub(crate) fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

pub(crate) fn double(key: &str, value: f64) -> KeyValue {
    attribute(key, Value::DoubleValue(value))
}

pub(crate) fn boolean(key: &str, value: bool) -> KeyValue {
    attribute(key, Value::BoolValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}
