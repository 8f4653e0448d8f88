//! Sources that change while they are served.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::raw::Raw;
use super::{ARCHIVE, Server};
use crate::support::archive::json_files;
use crate::support::binary::{flowgap, root, stdout};

/// Copies the blobs whose paths below the archive are chosen.
fn copy(to: &Path, is_chosen: impl Fn(&str) -> bool) {
    let (from, mut found) = (root().join(ARCHIVE), Vec::new());
    json_files(&from, &mut found);
    for path in found {
        let below = path.strip_prefix(&from).expect("below").to_str().expect("UTF-8");
        if is_chosen(below) {
            let new = to.join(below);
            fs::create_dir_all(new.parent().expect("a folder")).expect("folders");
            fs::copy(&path, new).expect("copied");
        }
    }
}

fn until(client: &mut Raw, query: &str, expected: impl Fn(&str) -> bool) {
    let begun = Instant::now();
    loop {
        let now = client.query(query).one().to_owned();
        if expected(&now) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{query}: {now}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn new_flows_and_findings_appear_in_open_sessions() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("logs");
    let is_early = |path: &str| (0..6).any(|hour| path.contains(&format!("/d=04/h=0{hour}/")));
    copy(&source, is_early);
    let listed = source.to_str().expect("UTF-8");
    let server = Server::start(&[listed, "--subnet", "10.20.1.0/24", "--refresh", "1s"]);
    let mut client = Raw::connect(server.port);
    let count = "SELECT count(*) FROM flows";
    let findings = "SELECT count(*) FROM findings WHERE requirement = 'APIM-OUT-SQL' AND verdict = 'blocked'";
    let before = client.query(count).one().to_owned();
    assert_eq!(client.query(findings).one(), "0");
    let made = client.query("SELECT analysis_time::text FROM analysis").one().to_owned();
    copy(&source, |path| !is_early(path));
    until(&mut client, count, |now| now != before);
    until(&mut client, findings, |now| now != "0");
    let again = client.query("SELECT analysis_time::text FROM analysis").one().to_owned();
    assert!(again > made, "{made} {again}");
    // The tables are those of `sql`.
    let query = "SELECT id FROM findings ORDER BY rank";
    let served: Vec<String> = client.query(query).rows.into_iter().map(|row| row[0].clone().expect("an id")).collect();
    let output = flowgap(&["sql", listed, "--subnet", "10.20.1.0/24", "-c", query, "--format", "csv"]);
    assert_eq!(stdout(&output).lines().skip(1).map(str::trim).collect::<Vec<_>>(), served);
    // A list that fails leaves the last one.
    fs::rename(&source, folder.path().join("gone")).expect("moved");
    let begun = Instant::now();
    while server.metric("failed_refreshes_total") == 0.0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the list does not fail");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_ne!(client.query(findings).one(), "0");
    assert!(server.get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(server.get("/other").starts_with("HTTP/1.1 404"));
}
