//! The recorded counts, per processor architecture.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::InstructionsError;

/// Instructions by path, by architecture (`x86_64`, `aarch64`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Baseline(BTreeMap<String, BTreeMap<String, u64>>);

/// A count beside the recorded one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// There is none recorded.
    New,
    /// Less than the tolerance away.
    Within { before: u64, percent: f64 },
    /// Larger by more than the tolerance.
    Grown { before: u64, percent: f64 },
    /// Smaller by more than the tolerance.
    Shrunk { before: u64, percent: f64 },
}

impl Baseline {
    /// Reads the file; an absent one is empty.
    pub fn read(path: &Path) -> Result<Self, InstructionsError> {
        match fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| InstructionsError::Baseline {
                path: path.to_owned(),
                message: error.to_string(),
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(InstructionsError::file(path)(error)),
        }
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) -> Result<(), InstructionsError> {
        let text = serde_json::to_string_pretty(self).map_err(|error| InstructionsError::Baseline {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        fs::write(path, text + "\n").map_err(InstructionsError::file(path))
    }

    /// Compares a count of this machine's architecture.
    pub fn compare(&self, path: &str, counted: u64, tolerance: f64) -> Change {
        let recorded = self.0.get(std::env::consts::ARCH).and_then(|paths| paths.get(path));
        let Some(&before) = recorded.filter(|before| **before > 0) else { return Change::New };
        let percent = (counted as f64 / before as f64 - 1.0) * 100.0;
        if percent > tolerance {
            Change::Grown { before, percent }
        } else if percent < -tolerance {
            Change::Shrunk { before, percent }
        } else {
            Change::Within { before, percent }
        }
    }

    /// Records a count of this machine's architecture.
    pub fn set(&mut self, path: &str, counted: u64) {
        self.0.entry(std::env::consts::ARCH.to_owned()).or_default().insert(path.to_owned(), counted);
    }
}
