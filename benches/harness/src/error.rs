use std::path::PathBuf;

/// What stops a benchmark, with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("{0}")]
    Usage(String),
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path}: {message}")]
    Case { path: PathBuf, message: String },
    #[error("{agent} does not run: {message}")]
    Agent { agent: String, message: String },
    #[error("the load stopped: {0}")]
    Load(String),
    #[error("the sink stopped: {0}")]
    Sink(String),
    #[error("{0} of the runs failed, or lost, doubled or changed spans; see above")]
    Incorrect(usize),
}

impl BenchError {
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    pub fn agent(agent: &str, message: impl ToString) -> Self {
        Self::Agent { agent: agent.to_owned(), message: message.to_string() }
    }
}
