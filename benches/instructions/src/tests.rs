use crate::baseline::{Baseline, Change};
use crate::corpus::Requests;
use crate::hot_paths::HOT_PATHS;
use crate::measure::{forebay_measured, instructions};

#[test]
fn a_path_may_grow_by_the_tolerance_and_no_more() {
    let mut baseline = Baseline::default();
    assert_eq!(baseline.compare("validate", 1000, 5.0), Change::New);
    baseline.set("validate", 1000);
    assert!(matches!(baseline.compare("validate", 1049, 5.0), Change::Within { before: 1000, .. }));
    assert!(matches!(baseline.compare("validate", 1051, 5.0), Change::Grown { .. }));
    assert!(matches!(baseline.compare("validate", 951, 5.0), Change::Within { .. }));
    assert!(matches!(baseline.compare("validate", 949, 5.0), Change::Shrunk { .. }));
}

#[test]
fn a_baseline_survives_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("baseline.json");
    assert_eq!(Baseline::read(&path).unwrap(), Baseline::default());
    let mut baseline = Baseline::default();
    baseline.set("validate", 12_345);
    baseline.write(&path).unwrap();
    assert_eq!(Baseline::read(&path).unwrap(), baseline);
    std::fs::write(&path, "{").unwrap();
    assert!(Baseline::read(&path).unwrap_err().to_string().contains("baseline.json"));
}

#[test]
fn the_corpus_survives_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let requests = Requests::generate().unwrap();
    assert_eq!(requests.spans(), 100_000);
    let path = requests.write(folder.path()).unwrap();
    assert_eq!(Requests::read(&path).unwrap().0, requests.0);
    std::fs::write(&path, [9, 0, 0, 0, 0, 0, 0, 0, 1]).unwrap();
    assert!(Requests::read(&path).is_err());
}

#[test]
fn every_path_does_work() {
    let few = |requests: &Requests| Requests(requests.0[..20].to_vec());
    let requests = Requests::generate().unwrap();
    for path in &HOT_PATHS {
        assert!(forebay_measured(path.prepare(few(&requests)).unwrap()) > 0, "{}", path.name);
    }
}

#[test]
fn the_total_is_read() {
    assert_eq!(instructions("version: 1\nevents: Ir\nsummary: 1234\nfn=(1) x\n1 2\n"), Some(1234));
    assert_eq!(instructions("version: 1\n"), None);
}
