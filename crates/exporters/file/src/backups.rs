//! The files that rotation leaves: their names, and which of them go.
//!
//! The collector's names: `traces.json` becomes `traces-2026-11-22T09-30-00.125-size.json`. Older ones, without
//! the last word, are known too.

use crate::config::Rotation;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

/// The length of `2026-11-22T09-30-00.125`.
const STAMP: usize = 23;
/// Why a file was rotated, in its name: what was written would have made it too large.
const REASON: &str = "-size";
/// Files within one millisecond that still get names of their own.
const TRIES: i64 = 1000;

/// The names of the backups of one file.
pub(crate) struct Backups {
    folder: PathBuf,
    /// What stands before and after the time.
    prefix: String,
    suffix: String,
    zone: TimeZone,
    rotation: Rotation,
}

impl Backups {
    pub(crate) fn new(path: &Path, rotation: Rotation) -> Self {
        let part = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let name = part(path.file_name());
        let stem = name.rfind('.').unwrap_or(name.len());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        Self {
            folder: folder.unwrap_or(Path::new(".")).to_owned(),
            prefix: format!("{}-", &name[..stem]),
            suffix: name[stem..].to_owned(),
            zone: if rotation.localtime { TimeZone::system() } else { TimeZone::UTC },
            rotation,
        }
    }

    /// A name that no file has yet, by the time.
    pub(crate) fn free_name(&self, now: Timestamp) -> io::Result<PathBuf> {
        for later in 0..TRIES {
            let at = now.checked_add(later.milliseconds()).unwrap_or(now);
            let name = format!(
                "{}{}{REASON}{}",
                self.prefix,
                stamp(at.to_zoned(self.zone.clone()).datetime()),
                self.suffix
            );
            let path = self.folder.join(name);
            if !path.try_exists()? {
                return Ok(path);
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "every name for the file that is full is taken"))
    }

    /// Removes what is beyond `max_backups` or `max_days`, the oldest first; the first failure is returned when all
    /// others are done.
    pub(crate) fn clean(&self, now: Timestamp) -> io::Result<()> {
        let mut found = self.list()?;
        found.sort_by(|(a, _), (b, _)| b.cmp(a));
        let Rotation { max_backups, max_days, .. } = self.rotation;
        let oldest = now.checked_sub((i64::from(max_days) * 24).hours()).unwrap_or(Timestamp::MIN);
        let mut outcome = Ok(());
        for (number, (written, path)) in found.into_iter().enumerate() {
            let too_many = max_backups > 0 && number >= max_backups;
            let too_old = max_days > 0 && written < oldest;
            if (too_many || too_old)
                && let Err(error) = std::fs::remove_file(&path)
                && outcome.is_ok()
            {
                outcome =
                    Err(io::Error::new(error.kind(), format!("cannot remove {}: {error}", path.display())));
            }
        }
        outcome
    }

    /// The backups there are, with the time in their name.
    fn list(&self) -> io::Result<Vec<(Timestamp, PathBuf)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            if let Some(written) = entry.file_name().to_str().and_then(|name| self.time_of(name))
                && entry.file_type()?.is_file()
            {
                found.push((written, entry.path()));
            }
        }
        Ok(found)
    }

    /// The time in the name of a backup; none when it is no backup of this file.
    fn time_of(&self, name: &str) -> Option<Timestamp> {
        let middle = name.strip_prefix(&self.prefix)?.strip_suffix(&self.suffix)?;
        let (stamp, reason) = middle.split_at_checked(STAMP)?;
        let is_backup = matches!(reason, "" | REASON | "-time");
        let time = parse_stamp(stamp).filter(|_| is_backup)?;
        Some(time.to_zoned(self.zone.clone()).ok()?.timestamp())
    }
}

fn stamp(time: DateTime) -> String {
    let (year, month, day) = (time.year(), time.month(), time.day());
    let (hour, minute, second, milli) = (time.hour(), time.minute(), time.second(), time.millisecond());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}.{milli:03}")
}

fn parse_stamp(text: &str) -> Option<DateTime> {
    let separators = [(4, '-'), (7, '-'), (10, 'T'), (13, '-'), (16, '-'), (19, '.')];
    let placed =
        separators.iter().all(|(at, separator)| text.as_bytes().get(*at) == Some(&(*separator as u8)));
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        digits.parse::<i16>().ok()
    };
    let small = |from: usize| number(from, from + 2).and_then(|number| i8::try_from(number).ok());
    let nanos = i32::from(number(20, STAMP)?) * 1_000_000;
    let parse =
        || DateTime::new(number(0, 4)?, small(5)?, small(8)?, small(11)?, small(14)?, small(17)?, nanos).ok();
    placed.then(parse)?
}

#[cfg(test)]
mod tests;
