//! Opening, appending, gathering, rotating.

use super::{config, read};
use crate::output::Output;
use crate::sink::Sink;
use forebay_recording::Framing;
use forebay_testkit::requests;
use jiff::{Timestamp, ToSpan};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn open(path: &Path, more: &str) -> std::io::Result<Sink> {
    Sink::open(&config(&format!("{{path: {}{more}}}", path.display())).unwrap(), start())
}

fn start() -> Timestamp {
    "2026-11-22T09:30:00Z".parse().unwrap()
}

/// A record of trace `number` with `size` bytes of filling.
fn record(number: u64, size: usize) -> Vec<u8> {
    let mut record = Vec::new();
    let request = requests::request(number, 0, 1, Some(("filling", &"x".repeat(size))));
    Framing::Lengths.append(&request, &mut record).unwrap();
    record
}

#[test]
fn a_file_is_emptied_or_appended_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.proto");
    for (more, expected) in
        [("", 1), ("", 1), (", append: true", 2), (", append: true", 3), (", rotation: {}", 4), ("", 1)]
    {
        open(&path, more).unwrap().write(&record(1, 10), start()).unwrap();
        assert_eq!(read(&path).len(), expected, "{more}");
    }
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o700, 0o600);
}

#[test]
fn a_missing_folder_is_said_or_created() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/t.json");
    let said = open(&path, "").err().unwrap().to_string();
    assert!(said.contains("a/b/t.json") && said.contains("create_directory"), "{said}");
    open(&path, ", create_directory: true, directory_permissions: \"0700\"").unwrap();
    let mode = std::fs::metadata(folder.path().join("a/b")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_full_disk_is_said_and_what_waits_goes_on_waiting() {
    let mut output = Output::new(open(Path::new("/dev/full"), "").unwrap(), true);
    output.append(&record(1, 10), 1, start()).unwrap();
    let said = output.flush(start()).unwrap_err().to_string();
    assert!(said.contains("/dev/full") && said.contains("make room"), "{said}");
    assert_eq!(output.waiting(), 1);
    assert!(output.append(&record(2, 100_000), 1, start()).is_err(), "not before what came before");
    assert_eq!(output.waiting(), 1);
    output.append(&record(3, 10), 1, start()).unwrap();
    assert_eq!(output.waiting(), 2);
}

#[test]
fn small_records_are_gathered_and_large_ones_written_behind_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.proto");
    let mut output = Output::new(open(&path, "").unwrap(), true);
    output.append(&record(1, 10), 1, start()).unwrap();
    assert_eq!((read(&path).len(), output.waiting()), (0, 1));
    output.append(&record(2, 100_000), 1, start()).unwrap();
    assert_eq!((read(&path).len(), output.waiting()), (2, 0));
    output.append(&record(3, 10), 1, start()).unwrap();
    output.flush(start()).unwrap();
    let found: Vec<_> = read(&path).into_iter().map(Into::into).collect();
    assert_eq!(requests::spans_of(&found), [(1, 0), (2, 0), (3, 0)]);
}

#[test]
fn a_file_that_would_be_too_large_is_renamed_and_old_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.proto");
    let mut sink = open(&path, ", rotation: {max_megabytes: 1, max_backups: 3}").unwrap();
    for number in 0..20 {
        sink.write(&record(number, 300_000), start() + (number as i64).seconds()).unwrap();
    }
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    // Three records a file: a new one is begun with records 3, 6, 9, 12, 15 and 18.
    assert_eq!(
        names,
        [
            "t-2026-11-22T09-30-12.000-size.proto",
            "t-2026-11-22T09-30-15.000-size.proto",
            "t-2026-11-22T09-30-18.000-size.proto",
            "t.proto"
        ]
    );
    let found: Vec<_> =
        names.iter().flat_map(|name| read(&folder.path().join(name))).map(Into::into).collect();
    assert_eq!(requests::spans_of(&found), (9..20).map(|number| (number, 0)).collect::<Vec<_>>());
    // One record larger than a file may be has one of its own.
    sink.write(&record(20, 3_000_000), start() + 100.seconds()).unwrap();
    sink.write(&record(21, 10), start() + 101.seconds()).unwrap();
    assert_eq!(read(&folder.path().join("t-2026-11-22T09-31-41.000-size.proto")).len(), 1);
}

#[test]
fn a_file_that_was_removed_or_emptied_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.proto");
    let mut sink = open(&path, "").unwrap();
    sink.write(&record(1, 10), start()).unwrap();
    std::fs::remove_file(&path).unwrap();
    sink.write(&record(2, 10), start()).unwrap();
    assert_eq!(read(&path).len(), 1);
    std::fs::File::create(&path).unwrap();
    sink.write(&record(3, 10), start()).unwrap();
    assert_eq!(read(&path).len(), 1, "no hole in front of it");
}
