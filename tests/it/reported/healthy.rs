//! Archives without a fault stay clean, and the example stays what it was.

use serde_json::{Value, json};

use crate::cases::{Run, TAG_FILE, check, run_over};
use crate::support::binary::{flowgap, root};

const GENERATED: &str = "10.20.1.0/24";

fn word(run: &Run) -> &Value {
    &run.analysis["status"]["word"]
}

#[test]
fn a_generated_archive_without_faults_is_ok() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("archive");
    let path = dir.to_str().expect("UTF-8");
    let size = ["--hours", "6", "--tuples-per-minute", "30", "--interfaces", "3"];
    let output = flowgap(&[&["generate", path, "--service-tags", TAG_FILE], &size[..]].concat());
    assert_eq!(output.status.code(), Some(0));
    let tags = ["--service-tags", TAG_FILE];
    let subnet = ["--subnet", GENERATED];
    for arguments in [[&tags[..], &subnet[..]].concat(), tags.to_vec(), subnet.to_vec()] {
        let run = run_over(&[&dir], &arguments);
        assert_eq!(run.status, Some(0), "{arguments:?}: {}", run.summary());
        assert!(*word(&run) == "OK" || *word(&run) == "OK SO FAR", "{arguments:?}: {}", word(&run));
        // What is refused was never let through: worth a line, and no more.
        let is_info = |finding: &Value| finding["severity"] == "info";
        assert!(run.findings().iter().all(is_info), "{arguments:?}: {}", run.summary());
        assert_eq!(run.analysis["causes"], json!([]), "{arguments:?}");
        check(&run.analysis["scope"], json!({"subnets": [GENERATED]}));
    }
    let run = run_over(&[&dir], &[&tags[..], &subnet[..]].concat());
    check(&run.analysis["needs"], json!({"required": 11, "blocked": 0, "degraded": 0, "seen": 11, "never_tried": 0}));
    assert_eq!(word(&run), "OK");
}

#[test]
fn the_example_says_what_it_said() {
    let archive = root().join("testdata/apim");
    let run = run_over(&[&archive], &["--subnet", GENERATED, "--service-tags", TAG_FILE]);
    assert_eq!(run.status, Some(1), "{}", run.summary());
    let found: Vec<[&Value; 2]> = run.findings().iter().map(|f| [&f["requirement"], &f["severity"]]).collect();
    let expected = [
        ["APIM-OUT-SQL", "critical"],
        ["APIM-IN-MANAGEMENT", "critical"],
        ["APIM-OUT-MONITOR", "medium"],
        ["APIM-IN-CLIENT", "info"],
        ["APIM-VNET-RATELIMIT", "info"],
    ];
    assert_eq!(found, expected.map(|[id, severity]| [json!(id), json!(severity)]).each_ref().map(|[a, b]| [a, b]));
    assert_eq!(word(&run), "BLOCKED");
    check(&run.analysis["needs"], json!({"required": 11, "blocked": 2, "never_tried": 1}));
}
