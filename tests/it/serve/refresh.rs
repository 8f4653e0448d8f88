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

#[test]
fn a_lake_is_served_in_its_newest_version() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (source, lake) = (path("logs"), path("lake"));
    let is_early = |path: &str| (0..6).any(|hour| path.contains(&format!("/d=04/h=0{hour}/")));
    let run = |arguments: &[&str]| {
        let output = flowgap(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        stdout(&output)
    };
    copy(Path::new(&source), is_early);
    run(&["ingest", &source, "--to", &lake]);
    let server = Server::start(&[&lake, "--subnet", "10.20.1.0/24", "--refresh", "1s"]);
    let mut client = Raw::connect(server.port);
    let findings = "SELECT count(*) FROM findings WHERE requirement = 'APIM-OUT-SQL' AND verdict = 'blocked'";
    assert_eq!(client.query(findings).one(), "0");
    copy(Path::new(&source), |path| !is_early(path));
    run(&["ingest", &source, "--to", &lake]);
    until(&mut client, findings, |now| now != "0");
    for query in ["SELECT count(*), sum(bytes_sent) FROM flows", "SELECT id FROM findings ORDER BY rank"] {
        let answer = client.query(query);
        let served: Vec<String> =
            answer.rows.into_iter().map(|row| row.into_iter().flatten().collect::<Vec<_>>().join(",")).collect();
        let printed = run(&["sql", &lake, "--subnet", "10.20.1.0/24", "-c", query, "--format", "csv"]);
        assert_eq!(printed.lines().skip(1).map(str::trim).collect::<Vec<_>>(), served, "{query}");
    }
    // Files that were joined are needed no more once the lake is listed again.
    let files = || {
        let folder = fs::read_dir(path("lake/flow_date=2026-05-04")).expect("a folder of a day");
        folder.map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>()
    };
    let (before, lists) = (files(), server.metric("listings_total"));
    run(&["lake", "compact", &lake]);
    assert!(files().len() > before.len());
    let begun = Instant::now();
    while server.metric("listings_total") < lists + 2.0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the lake is not listed again");
        std::thread::sleep(Duration::from_millis(50));
    }
    before.iter().for_each(|file| fs::remove_file(file).expect("removed"));
    assert_ne!(client.query("SELECT count(*) FROM flows WHERE bytes_sent > 1").one(), "0");
    // The instance of a source with a lake reads the lake alone.
    let config = format!(
        "schema = \"flowgap.config/1\"\nstate = \"{}\"\n[source.logs]\naddress = [\"{}\"]\nlake = \"{lake}\"\n[[instance]]\n\
         name = \"one\"\nsource = \"logs\"\nsubnets = [\"10.20.1.0/24\"]\nwindow = \"36500d\"\n",
        path("state"),
        path("gone"),
    );
    fs::write(path("job.toml"), config).expect("written");
    let of_instance = Server::start(&["--config", &path("job.toml"), "--instance", "one"]);
    assert_ne!(Raw::connect(of_instance.port).query(findings).one(), "0");
}
