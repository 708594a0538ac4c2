//! What of the program's file only its start needed.
//!
//! What makes it sound: only ranges of private mappings that may not be written to and of which no page is the process's own are given
//! up, so that every page of them is what the file holds, before and after. What was written to while the program was loaded
//! has pages of its own and stays, as does what a debugger has put a stop into.

use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::path::Path;

use rustix::mm::Advice;

/// Takes the program's own code and constants out of the process's resident memory; how many bytes they lie in. What is still needed
/// comes back when it is touched, from the system's cache of the file. For after the start, most of which never runs again.
/// Errors are those of `/proc` and `madvise`, and cost nothing but the memory.
pub fn forget_start() -> io::Result<usize> {
    let program = std::fs::read_link("/proc/self/exe")?;
    let maps = std::fs::read_to_string("/proc/self/smaps")?;
    let mut bytes = 0;
    for range in as_in_file(&maps, &program) {
        let start = std::ptr::with_exposed_provenance_mut::<c_void>(range.start);
        // SAFETY: nobody can write to the range, and none of its pages differs from the file's, from which they come back.
        let outcome = unsafe { rustix::mm::madvise(start, range.len(), Advice::LinuxDontNeed) };
        outcome.map_err(|error| io::Error::from_raw_os_error(error.raw_os_error()))?;
        bytes += range.len();
    }
    Ok(bytes)
}

/// The mappings of the program that are as its file is, of all that `smaps` lists (proc_pid_smaps(5)).
pub(crate) fn as_in_file(smaps: &str, program: &Path) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        if let Some(mapping) = Mapping::read(line) {
            candidate = mapping.is_of(program).then_some(mapping.range);
        } else if let Some(own) = line.strip_prefix("Anonymous:") {
            let none = own.trim() == "0 kB";
            found.extend(candidate.take().filter(|_| none));
        }
    }
    found
}

/// The first line of a mapping.
struct Mapping<'a> {
    range: Range<usize>,
    permissions: &'a str,
    path: &'a str,
}

impl<'a> Mapping<'a> {
    /// `START-END PERMISSIONS OFFSET DEVICE INODE PATH`; none for the lines that follow it.
    fn read(line: &'a str) -> Option<Self> {
        let mut rest = line;
        let mut field = || {
            let (field, after) = rest.split_once(' ')?;
            rest = after;
            Some(field)
        };
        let (start, end) = field()?.split_once('-')?;
        let permissions = field()?;
        let _offset_device_inode = (field()?, field()?, field()?);
        let number = |digits| usize::from_str_radix(digits, 16).ok();
        Some(Self { range: number(start)?..number(end)?, permissions, path: rest.trim_start() })
    }

    fn is_of(&self, program: &Path) -> bool {
        matches!(self.permissions, "r--p" | "r-xp") && Path::new(self.path) == program
    }
}
