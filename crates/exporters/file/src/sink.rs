//! The file itself: whole records or nothing, and a new file when one is full.

use crate::backups::Backups;
use crate::config::Config;
use jiff::Timestamp;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What files are created with, less the process's mask.
const FILE_MODE: u32 = 0o644;

/// The open file, and how it is rotated.
pub(crate) struct Sink {
    path: PathBuf,
    file: File,
    rotation: Option<(Backups, u64)>,
}

impl Sink {
    /// Creates the folder if so configured, and opens the file: empty, or to append to.
    pub(crate) fn open(config: &Config, now: Timestamp) -> io::Result<Self> {
        let path = config.path.clone();
        if config.create_directory
            && let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty())
        {
            let mode = config.folder_mode().unwrap_or(0o755);
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(mode)
                .create(folder)
                .map_err(|error| explained(&error, "create the folder", folder))?;
        }
        let rotation = config.rotation.map(|rotation| (Backups::new(&path, rotation), rotation.max_bytes()));
        let file = open(&path)?;
        if !config.append && rotation.is_none() && file.metadata()?.is_file() {
            file.set_len(0).map_err(|error| explained(&error, "empty", &path))?;
        }
        let sink = Self { path, file, rotation };
        sink.clean(now);
        Ok(sink)
    }

    /// Writes whole records: all, or nothing but for what is reported as an error.
    pub(crate) fn write(&mut self, records: &[u8], now: Timestamp) -> io::Result<()> {
        let mut status = self.status()?;
        if status.is_file() && status.nlink() == 0 {
            // Somebody removed it: what is written now must not vanish with it.
            self.file = open(&self.path)?;
            status = self.status()?;
        }
        if let Some((_, most)) = &self.rotation
            && status.is_file()
            && status.len() > 0
            && status.len() + records.len() as u64 > *most
        {
            self.rotate(now)?;
            status = self.status()?;
        }
        self.file.write_all(records).map_err(|error| {
            // Half a record would make all after it unreadable. When this fails too, the reader says where.
            if status.is_file() {
                let _ = self.file.set_len(status.len());
            }
            explained(&error, "write to", &self.path)
        })
    }

    fn status(&self) -> io::Result<Metadata> {
        self.file.metadata().map_err(|error| explained(&error, "look at", &self.path))
    }

    fn rotate(&mut self, now: Timestamp) -> io::Result<()> {
        let Some((backups, _)) = &self.rotation else { return Ok(()) };
        let backup = backups.free_name(now)?;
        std::fs::rename(&self.path, &backup).map_err(|error| explained(&error, "rename", &self.path))?;
        match open(&self.path) {
            Ok(file) => self.file = file,
            Err(error) => {
                // As it was; when this fails too, the file that is open goes on under its new name.
                let _ = std::fs::rename(&backup, &self.path);
                return Err(error);
            }
        }
        self.clean(now);
        Ok(())
    }

    /// Removes old backups. Not being able to is no reason to lose what comes.
    fn clean(&self, now: Timestamp) {
        if let Some((backups, _)) = &self.rotation
            && let Err(error) = backups.clean(now)
        {
            tracing::warn!(path = %self.path.display(), "old recordings stay: {error}");
        }
    }
}

/// Opens for appending, which also bears that others shorten the file. Readable too: a FIFO then opens without a
/// reader.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(FILE_MODE)
        .open(path)
        .map_err(|error| explained(&error, "open", path))
}

/// The error with the file and what can be done.
fn explained(error: &io::Error, what: &str, path: &Path) -> io::Error {
    let advice = match error.kind() {
        io::ErrorKind::NotFound => " (create the folder, or set `create_directory: true`)",
        io::ErrorKind::PermissionDenied => " (let the agent's user write there)",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            " (make room; `rotation` bounds a recording)"
        }
        _ => "",
    };
    io::Error::new(error.kind(), format!("cannot {what} {}: {error}{advice}", path.display()))
}
