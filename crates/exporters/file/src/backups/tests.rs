use super::*;

fn rotation(max_days: u32, max_backups: usize) -> Rotation {
    Rotation { max_megabytes: 1, max_days, max_backups, localtime: false }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn names_have_the_time_and_go_before_the_extension() {
    let folder = tempfile::tempdir().unwrap();
    let backups = Backups::new(&folder.path().join("traces.v2.json"), rotation(0, 0));
    let now = at("2026-11-22T09:30:00.125Z");
    let first = backups.free_name(now).unwrap();
    assert_eq!(first.file_name().unwrap(), "traces.v2-2026-11-22T09-30-00.125-size.json");
    std::fs::write(&first, "").unwrap();
    let second = backups.free_name(now).unwrap();
    assert_eq!(
        second.file_name().unwrap(),
        "traces.v2-2026-11-22T09-30-00.126-size.json",
        "none is overwritten"
    );
    let bare = Backups::new(Path::new("traces"), rotation(0, 0));
    assert_eq!(bare.free_name(now).unwrap(), Path::new("./traces-2026-11-22T09-30-00.125-size"));
}

#[test]
fn the_oldest_go_and_other_files_stay() {
    let folder = tempfile::tempdir().unwrap();
    let names = [
        "t-2026-11-22T00-00-00.000-size.json",
        "t-2026-11-21T00-00-00.000.json",
        "t-2026-11-19T23-59-59.999-size.json",
        "t-2026-11-01T00-00-00.000-time.json",
    ];
    let others = [
        "t.json",
        "t-2026.json",
        "t-2026-11-01T00-00-00.000-mine.json",
        "t-2026-13-01T00-00-00.000.json",
        "u-2026-11-01T00-00-00.000.json",
    ];
    let now = at("2026-11-22T23:59:59.999Z");
    for (max_days, max_backups, kept) in [(0, 0, 4), (0, 3, 3), (3, 0, 3), (2, 0, 2), (1, 1, 1), (3, 2, 2)] {
        names.iter().chain(&others).for_each(|name| std::fs::write(folder.path().join(name), "").unwrap());
        Backups::new(&folder.path().join("t.json"), rotation(max_days, max_backups)).clean(now).unwrap();
        let mut left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expected: Vec<_> = names[..kept].iter().chain(&others).map(ToString::to_string).collect();
        expected.sort();
        assert_eq!(left, expected, "max_days {max_days}, max_backups {max_backups}");
    }
}

#[test]
fn local_time_is_the_zones() {
    let zone = TimeZone::fixed(jiff::tz::offset(2));
    let backups = Backups { zone, ..Backups::new(Path::new("t.json"), rotation(0, 0)) };
    let name = backups.free_name(at("2026-11-22T23:30:00Z")).unwrap();
    assert_eq!(name, Path::new("./t-2026-11-23T01-30-00.000-size.json"));
    assert_eq!(backups.time_of("t-2026-11-23T01-30-00.000-size.json"), Some(at("2026-11-22T23:30:00Z")));
}
