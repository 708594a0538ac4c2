//! Keys, defaults, and what is refused.

use super::config;
use std::time::Duration;

#[test]
fn the_collectors_defaults() {
    let found = config("path: a.json").unwrap();
    assert!(found.is_json() && !found.append && !found.is_compressed() && found.rotation.is_none());
    assert_eq!(found.flush_interval.0, Duration::from_secs(1));
    assert_eq!(config("{path: a, flush_interval: 0}").unwrap().flush_interval.0, Duration::from_secs(1));
    let rotation = config("path: a.json\nrotation:\n").unwrap().rotation.unwrap();
    assert_eq!((rotation.max_bytes(), rotation.max_days, rotation.max_backups), (100 << 20, 0, 100));
    let folder = config("{path: a, create_directory: true}").unwrap();
    assert_eq!(folder.folder_mode(), Some(0o755));
    let folder = config("{path: a, create_directory: true, directory_permissions: 0750}").unwrap();
    assert_eq!(folder.folder_mode(), Some(0o750));
    assert!(config("{path: a, group_by: {enabled: false, max_open_files: 5}}").is_ok());
}

#[test]
fn what_is_wrong_is_said_where_it_is() {
    let wrong = [
        ("{}", "1:1", "the file to write is needed"),
        ("{path: a, format: otlp}", "1:19", "use `json` or `proto`"),
        ("{path: a, compression: gzip}", "1:24", "use `zstd`"),
        ("{path: a, compression_params: {level: 3}}", "1:39", "needs `compression: zstd`"),
        ("{path: a, append: true, rotation: {}}", "1:19", "cannot be combined with `rotation`"),
        ("{path: a, encoding: otlp_json}", "1:11", "`encoding` is not supported"),
        ("{path: a, group_by: {enabled: true}}", "1:31", "is not supported"),
        ("{path: a, flush_interval: -1s}", "1:27", "0 or more"),
        ("{path: a, directory_permissions: \"0755\"}", "1:34", "needs `create_directory: true`"),
        ("{path: a, create_directory: true, directory_permissions: \"0999\"}", "1:58", "octal"),
        ("{path: a, create_directory: true, directory_permissions: \"1777\"}", "1:58", "octal"),
        ("{path: a, rotation: {max_megabytes: -1}}", "1:37", ""),
        ("{path: a, sending_queue: {num_consumers: 4}}", "1:42", "must be 1"),
        ("{path: a, retry_on_failure: {multiplier: -1}}", "1:42", "0 or more"),
    ];
    for (text, place, words) in wrong {
        let said = config(text).err().unwrap_or_default();
        assert!(said.contains(&format!("test.yaml:{place}:")) && said.contains(words), "{text}: {said}");
    }
}
