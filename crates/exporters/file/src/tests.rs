mod config;
mod files;
mod running;

use crate::config::Config;
use forebay_config::Node;
use forebay_recording::Reader;
use std::path::Path;

fn config(text: &str) -> Result<Config, String> {
    Config::read(&Node::parse_str("test.yaml", text).unwrap()).map_err(|found| found.to_string())
}

/// Every request of a recording.
fn read(path: &Path) -> Vec<Vec<u8>> {
    let mut reader = Reader::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut requests = Vec::new();
    while let Some(record) = reader.read().unwrap() {
        requests.push(record.request.to_vec());
    }
    requests
}
