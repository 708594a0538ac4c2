//! What can be wrong with a condition, when it is compiled and when it is evaluated.

use std::fmt;

use thiserror::Error;

/// A condition that cannot be compiled: where, what, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {message}{}", Help(.help))]
pub struct ParseError {
    /// Where in the text, in bytes from its start.
    pub offset: usize,
    /// The line, from 1.
    pub line: usize,
    /// The column in that line, in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead, where we know.
    pub help: Option<String>,
}

struct Help<'a>(&'a Option<String>);

impl fmt::Display for Help<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

impl ParseError {
    /// The line of `text` that the error is in, with a caret under the place.
    pub fn excerpt(&self, text: &str) -> String {
        let line = text.lines().nth(self.line - 1).unwrap_or_default();
        format!("{line}\n{:>column$}", "^", column = self.column)
    }
}

/// An error and where it is; the line and the column are found once the text is at hand.
#[derive(Debug)]
pub(crate) struct Located {
    pub(crate) offset: usize,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Located {
    pub(crate) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into(), help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn in_text(self, text: &str) -> ParseError {
        let before = text.get(..self.offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        ParseError {
            offset: self.offset,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: self.message,
            help: self.help,
        }
    }
}

/// The supported name that is most like `name`, if any is close.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&folded, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A condition that could not be evaluated on a span. Cheap: it owns nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("at offset {offset} of the condition: {kind}")]
pub struct EvalError {
    /// Where in the condition's text, in bytes from its start.
    pub offset: usize,
    /// What went wrong.
    pub kind: EvalErrorKind,
}

/// Why a condition could not be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EvalErrorKind {
    /// A converter, an index or an operator got a value of a type it does not take.
    #[error("{what} takes {expected}, not {got}; test the value first, as in IsString(x) or x != nil")]
    Type {
        /// The converter or operator.
        what: &'static str,
        /// What it takes.
        expected: &'static str,
        /// What it got.
        got: &'static str,
    },
    /// An integer or a float divided by zero.
    #[error("division by zero; test the divisor first")]
    DivisionByZero,
    /// Indexing into a list where it has no element.
    #[error("the index is outside of the list; test Len(x) first")]
    OutOfBounds,
    /// A text that is not what the converter reads.
    #[error("{what} got a text that is not {expected}")]
    Malformed {
        /// The converter.
        what: &'static str,
        /// What it reads.
        expected: &'static str,
    },
    /// `Substring` outside of the text, of no length, or through the middle of a character.
    #[error("Substring takes a range of whole characters within the text; test Len(x) first")]
    Range,
    /// A float that JSON, which `String` writes, cannot hold.
    #[error("a float that is not finite has no text")]
    NotFinite,
    /// Lists and maps within each other, deeper than any valid request has them.
    #[error("the value is nested too deeply")]
    TooDeep,
    /// A condition on span events, evaluated without one.
    #[error("the condition is about span events, and no event was given")]
    NoEvent,
}
