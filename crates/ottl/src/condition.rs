//! A condition, and what it is evaluated on.

use forebay_otlp::traces::{EventView, ResourceSpansView, ResourceView, ScopeSpansView, ScopeView, SpanView};

use crate::compile;
use crate::error::{EvalError, ParseError};
use crate::eval;
use crate::parse::parse;
use crate::path::Owner;
use crate::program;

/// What a condition is about: which paths it has, and what those without a prefix mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContextKind {
    /// Spans: `name` is the span's.
    Span,
    /// Span events: `name` is the event's, `span.name` that of the span it is in.
    SpanEvent,
}

/// What holds an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeOwner {
    /// The span.
    Span,
    /// The span event.
    Event,
    /// The instrumentation scope.
    Scope,
    /// The resource.
    Resource,
}

/// A compiled condition.
#[derive(Debug)]
pub struct Condition {
    text: Box<str>,
    context: ContextKind,
    program: program::Condition,
}

impl Condition {
    /// Compiles a condition.
    ///
    /// # Errors
    /// When the text is no condition, or one with a path, a converter or a value that is not supported.
    pub fn compile(text: &str, context: ContextKind) -> Result<Self, ParseError> {
        let program = parse(text).and_then(|expr| compile::condition(&expr, context));
        let program = program.map_err(|error| error.in_text(text))?;
        Ok(Self { text: text.into(), context, program })
    }

    /// Whether the condition holds. A condition on span events needs a scope with an event.
    ///
    /// # Errors
    /// When a value is not what an operator or a converter takes. As in the collector, that is about the whole
    /// condition: the parts after the failed one are not evaluated.
    pub fn matches(&self, scope: &SpanScope<'_>) -> Result<bool, EvalError> {
        eval::condition(&self.program, scope)
    }

    /// What it was compiled from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it is about.
    pub fn context(&self) -> ContextKind {
        self.context
    }

    /// The answer, where it is the same for every span.
    pub fn constant(&self) -> Option<bool> {
        match self.program {
            program::Condition::Constant { value, .. } => Some(value),
            _ => None,
        }
    }

    /// The keys of attributes that it looks at, in order, some perhaps twice. Not the inner keys of nested values,
    /// nor those that are computed.
    pub fn attribute_keys(&self) -> Vec<(AttributeOwner, &str)> {
        let mut keys = Vec::new();
        self.program.for_each_node(&mut |node| {
            if let program::Node::Attribute { owner, key: program::Index::Key(key), .. } = node {
                let owner = match owner {
                    Owner::Span => AttributeOwner::Span,
                    Owner::Event => AttributeOwner::Event,
                    Owner::Scope => AttributeOwner::Scope,
                    Owner::Resource => AttributeOwner::Resource,
                };
                keys.push((owner, &**key));
            }
        });
        keys
    }
}

/// A span and what is around it. Build it once for the spans of a scope, then move it from span to span and from
/// event to event: finding the resource and the scope is what costs.
#[derive(Debug, Clone, Copy)]
pub struct SpanScope<'a> {
    pub(crate) resource_spans: ResourceSpansView<'a>,
    pub(crate) scope_spans: ScopeSpansView<'a>,
    pub(crate) resource: ResourceView<'a>,
    pub(crate) scope: ScopeView<'a>,
    pub(crate) span: SpanView<'a>,
    pub(crate) event: Option<EventView<'a>>,
}

impl<'a> SpanScope<'a> {
    /// A span in its scope and resource. The groups need not hold the span: their headers are enough.
    pub fn new(
        resource_spans: ResourceSpansView<'a>,
        scope_spans: ScopeSpansView<'a>,
        span: SpanView<'a>,
    ) -> Self {
        let (resource, scope) = (resource_spans.resource(), scope_spans.scope());
        Self { resource_spans, scope_spans, resource, scope, span, event: None }
    }

    /// Another span of the same scope.
    #[must_use]
    pub fn with_span(self, span: SpanView<'a>) -> Self {
        Self { span, event: None, ..self }
    }

    /// An event of the span.
    #[must_use]
    pub fn with_event(self, event: EventView<'a>) -> Self {
        Self { event: Some(event), ..self }
    }
}
