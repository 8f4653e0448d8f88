//! The scheduled job with the real binary.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use crate::cases::{A, B, DENY, MONITOR, SQL, SUBNET, TAG_FILE, deny_sql, healthy, planted};
use crate::support::archive::{Log, at, hours, inbound, outbound};
use crate::support::binary::{command, stderr};
use crate::support::http::{Answer, Request, Server, serve};

/// The configuration: its messages, its schema, its secrets.
mod config;
/// Runs over days: transitions, instances, lag, suppressions.
mod days;
/// Runs that are killed at any point, and several at a time.
mod killed;
/// A lake between the logs and the analysis.
mod lake;
/// The state: none, damaged, newer, without permission, on a full disk.
mod state;
/// Test messages.
mod trial;

/// Part of every secret of these tests.
const SECRET: &str = "S3CR3T";

/// A receiver that keeps what it was sent.
struct Hook {
    server: Server,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Hook {
    /// Answers with this status.
    fn start(status: u16) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        let server = serve(move |request: &Request, stream| {
            kept.lock().expect("a list").push(request.clone());
            Answer::new(status, &[], "").send(request, stream)
        });
        Self { server, seen }
    }

    fn table(&self, kind: &str) -> String {
        format!("[[deliver]]\nkind = '{kind}'\nurl = 'http://127.0.0.1:{}/{SECRET}/{SECRET}9f3a'\n", self.server.port)
    }

    /// What arrived since the last call.
    fn take(&self) -> Vec<Value> {
        let seen = std::mem::take(&mut *self.seen.lock().expect("a list"));
        seen.iter().map(|request| serde_json::from_slice(&request.body).expect("JSON")).collect()
    }
}

/// Transition and requirement of each finding of a message.
fn told(message: &Value) -> Vec<(String, String)> {
    let lists = [&message["data"]["findings"], &message["data"]["resolved"]];
    let text = |found: &Value, key: &str| found[key].as_str().unwrap_or_default().to_owned();
    lists
        .iter()
        .flat_map(|list| list.as_array().expect("a list"))
        .map(|found| (text(found, "transition"), text(found, "requirement")))
        .collect()
}

/// A folder with logs, a configuration and a state.
struct Job {
    folder: TempDir,
    more: String,
}

impl Job {
    /// One instance `apim` over these logs.
    fn over(log: &Log, more: &str) -> Self {
        let job = Self { folder: log.write(), more: more.to_owned() };
        let text = job.text("");
        job.configure(&text);
        job
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A configuration. `keys` are more of its instance.
    fn text(&self, keys: &str) -> String {
        let Self { folder, more } = self;
        let folder = folder.path().display();
        format!(
            "schema = 'flowgap.config/1'\nstate = '{folder}/state'\nservice_tags = '{TAG_FILE}'\n\
             [source.prod]\naddress = ['{folder}/insights-logs-flowlogflowevent']\n\
             [[instance]]\nname = 'apim'\nsource = 'prod'\nsubnets = ['{SUBNET}']\n{keys}\n{more}"
        )
    }

    fn configure(&self, text: &str) {
        std::fs::write(self.path("flowgap.toml"), text).expect("written");
    }

    fn command(&self, time: i64, arguments: &[&str]) -> Command {
        let config = self.path("flowgap.toml");
        let now = at(time);
        let fixed = ["run", "--config", config.to_str().expect("UTF-8"), "--now", &now];
        command(&[&fixed, arguments].concat())
    }

    fn run_at(&self, time: i64, arguments: &[&str]) -> Output {
        self.command(time, arguments).output().expect("flowgap starts")
    }

    /// Runs at the end of a day, and checks the exit status and what is said.
    fn day(&self, day: i64, status: i32, says: &str) -> String {
        let output = self.run_at(hours(24 * (day + 1)), &[]);
        expect(&output, status, says)
    }

    fn state(&self) -> Value {
        let bytes = std::fs::read(self.path("state/apim.state.json")).expect("a state");
        serde_json::from_slice(&bytes).expect("JSON")
    }
}

/// Checks a run, and returns what it said.
fn expect(output: &Output, status: i32, says: &str) -> String {
    let said = stderr(output);
    assert!(
        output.status.code() == Some(status) && said.contains(says),
        "{:?}, not {status}, {says}: {said}",
        output.status
    );
    assert!(!said.contains(SECRET), "{said}");
    said
}

/// Everything in a folder and below it, hidden files too, as paths from there.
fn entries(folder: &Path) -> Vec<String> {
    let Ok(found) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = Vec::new();
    for entry in found {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        names.extend(entries(&entry.path()).iter().map(|below| format!("{name}/{below}")));
        names.push(name);
    }
    names.sort();
    names
}

/// What each day of [`days_of_sql`] brings.
const DAYS: [Option<&str>; 8] =
    [None, Some("new"), Some("worsened"), None, Some("resolved"), Some("reopened"), Some("resolved"), Some("reopened")];

/// Days of an instance whose calls of SQL are allowed, refused to one of two interfaces,
/// refused to all, and so on, as in [`DAYS`].
fn days_of_sql() -> Log {
    let mut log = Log::vnet();
    for day in 0..DAYS.len() as i64 {
        let span = 24 * day..24 * (day + 1);
        healthy(&mut log, A, span.clone(), &["APIM-OUT-SQL"]);
        match day {
            0 | 4 | 6 => span.for_each(|hour| log.allowed(outbound(planted(hour), A, SQL, 1433))),
            1 => {
                healthy(&mut log, B, span.clone(), &["APIM-OUT-SQL"]);
                for hour in span {
                    log.allowed(outbound(planted(hour), A, SQL, 1433));
                    log.denied(outbound(planted(hour), B, SQL, 1433), DENY);
                }
            }
            _ => deny_sql(&mut log, span),
        }
    }
    log
}
