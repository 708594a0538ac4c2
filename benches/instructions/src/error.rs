use std::path::PathBuf;

/// What stops the count, with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum InstructionsError {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path}: {message}")]
    Baseline { path: PathBuf, message: String },
    #[error("no hot path `{name}`: there are {known}")]
    NoSuchPath { name: String, known: String },
    #[error("the workload cannot be made: {0}")]
    Workload(String),
    #[error("{program} does not start: {source}; install valgrind, or set VALGRIND to where it is")]
    NoValgrind { program: String, source: std::io::Error },
    #[error("{path} failed under callgrind: {message}")]
    Callgrind { path: String, message: String },
    #[error(
        "{paths}: more than {tolerance} % over the baseline, or not in it. Find out why \
         (callgrind_annotate target/instructions/PATH.callgrind); if it is worth it, record it with \
         `make bench-instructions RECORD=1` and say in the commit what was bought"
    )]
    Grown { paths: String, tolerance: f64 },
}

impl InstructionsError {
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
