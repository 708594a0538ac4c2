//! Conditions in the OpenTelemetry Transformation Language (OTTL), as tail sampling and filters take them: parsed and
//! resolved once, then evaluated on borrowed views of spans and span events. No I/O, no clock.
//!
//! ```
//! use forebay_ottl::{Condition, ContextKind};
//!
//! let slow = Condition::compile("end_time - start_time > Duration(\"5s\")", ContextKind::Span)?;
//! let error = Condition::compile("status.cod == STATUS_CODE_ERROR", ContextKind::Span).err();
//! assert_eq!(slow.constant(), None);
//! assert_eq!(error.and_then(|error| error.help), Some("did you mean `status.code`?".to_owned()));
//! # Ok::<(), forebay_ottl::ParseError>(())
//! ```

mod ast;
mod call;
mod compile;
mod condition;
mod duration;
mod error;
mod eval;
mod function;
mod item;
mod parse;
mod path;
mod program;
pub mod re2;
mod text;
mod token;
mod tracestate;
mod value;

pub use condition::{AttributeOwner, Condition, ContextKind, SpanScope};
pub use error::{EvalError, EvalErrorKind, ParseError};

#[cfg(test)]
mod tests;
