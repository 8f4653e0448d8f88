//! Sources that change while they are served.

use std::fs;
use std::time::{Duration, Instant};

use super::Server;
use super::raw::Raw;
use crate::cases::{A, SQL, TAGGED, day, deny_sql, planted};
use crate::support::archive::outbound;

fn until(client: &mut Raw, query: &str, expected: impl Fn(&str) -> bool) {
    let begun = Instant::now();
    loop {
        let now = client.query(query).one().to_owned();
        if expected(&now) {
            return;
        }
        if begun.elapsed() > Duration::from_secs(30) {
            let rows = client.query("SELECT * FROM analysis; SELECT requirement, verdict, rule FROM findings").rows;
            panic!("{query}: {now}: {rows:?}");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn new_flows_and_findings_appear_in_open_sessions() {
    let mut log = day(&["APIM-OUT-SQL"]);
    (0..12).for_each(|hour| log.allowed(outbound(planted(hour), A, SQL, 1433)));
    let folder = log.write();
    let server =
        Server::start(&[folder.path().to_str().expect("UTF-8"), "--subnet", "10.20.1.0/24", "--refresh", "1s"]);
    let mut client = Raw::connect(server.port);
    let (count, findings) =
        ("SELECT count(*) FROM flows", "SELECT count(*) FROM findings WHERE requirement = 'APIM-OUT-SQL'");
    let before = client.query(count).one().to_owned();
    assert_eq!(client.query(findings).one(), "0");
    let made = client.query("SELECT analysis_time::text FROM analysis").one().to_owned();
    let mut denied = day(&["APIM-OUT-SQL"]);
    (0..12).for_each(|hour| denied.allowed(outbound(planted(hour), A, SQL, 1433)));
    deny_sql(&mut denied, 12..24);
    let newer = denied.write();
    let other = folder.path().join("later");
    fs::rename(newer.path(), &other).expect("moved");
    until(&mut client, count, |now| now != before);
    until(&mut client, findings, |now| now != "0");
    let again = client.query("SELECT analysis_time::text FROM analysis").one().to_owned();
    assert!(again > made, "{made} {again}");
    // A list that fails leaves the last one.
    fs::rename(folder.path(), other.with_extension("gone")).unwrap_or_default();
    fs::remove_dir_all(folder.path()).unwrap_or_default();
    std::thread::sleep(Duration::from_millis(2500));
    assert!(server.metric("failed_refreshes_total") > 0.0);
    assert_ne!(client.query(findings).one(), "0");
    assert!(server.get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(server.get("/other").starts_with("HTTP/1.1 404"));
}
