//! A file for the textfile collector of Prometheus. All metrics are gauges without times, and no label holds an address.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

use super::digest::{clip, filled};
use super::error::{DeliveryError, Receipt};
use super::file::unwritten;
use super::message::Message;
use super::outcome::Outcome;
use crate::answer::Leftovers;
use crate::findings::history::Standing;
use crate::findings::{CoverageVerdict, Severity, State};
use crate::report::name_of;
use crate::time::Timestamp;

/// Most series of denied tuples, the largest first.
const MOST_SERIES: usize = 50;
/// Longest value of a label in characters.
const LONGEST_LABEL: usize = 120;
/// State of a finding that is accepted, in place of its own.
const SUPPRESSED: &str = "suppressed";

/// Returns the text of the file. Every combination of severity and state has a series, so that alerts resolve.
pub fn compose(outcome: &Outcome) -> String {
    let mut text = Exposition { text: String::new(), instance: outcome.instance };
    text.gauge(
        "flowgap_build_info",
        "Version of flowgap.",
        [(vec![("version", env!("CARGO_PKG_VERSION"))], "1".to_owned())],
    );
    text.single("flowgap_last_run_timestamp_seconds", "Time of the last run.", seconds(outcome.at));
    if let Some(success) = outcome.last_success {
        text.single(
            "flowgap_last_success_timestamp_seconds",
            "Time of the last run without an error.",
            seconds(success),
        );
    }
    text.single("flowgap_last_run_exit_code", "Exit status of the last run.", outcome.exit.to_string());
    let stages = outcome.stages.iter().map(|(stage, time)| (vec![("stage", *stage)], time.as_secs_f64().to_string()));
    text.gauge("flowgap_run_duration_seconds", "Duration of each stage of the last run.", stages);
    if let Some(lag) = outcome.lag {
        text.single(
            "flowgap_log_lag_seconds",
            "Time from the last flow in the logs to the run.",
            lag.as_secs_f64().to_string(),
        );
    }
    let counts = findings(outcome);
    let states = || State::NAMES.into_iter().chain([SUPPRESSED]);
    let pairs = Severity::ALL.into_iter().flat_map(|severity| states().map(move |state| (severity.name(), state)));
    text.gauge(
        "flowgap_findings",
        "Findings by severity and state.",
        pairs.map(|(severity, state)| {
            let count = counts.get(&(severity, state)).copied().unwrap_or_default();
            (vec![("severity", severity), ("state", state)], count.to_string())
        }),
    );
    if let Some(analysis) = outcome.analysis {
        let denied = denied(outcome);
        text.gauge(
            "flowgap_finding_denied",
            "Denied flow tuples of the findings with the most, by dependency and rule.",
            denied.iter().map(|((name, rule), tuples)| {
                (vec![("requirement", name.as_str()), ("rule", rule.as_str())], tuples.to_string())
            }),
        );
        let required =
            |verdict| analysis.coverage.iter().filter(move |row| row.is_required() && row.verdict == verdict);
        text.gauge(
            "flowgap_coverage",
            "Required dependencies by verdict.",
            CoverageVerdict::ALL
                .map(|verdict| (vec![("verdict", verdict.name())], required(verdict).count().to_string())),
        );
        text.single(
            "flowgap_malformed_tuples",
            "Flow tuples that could not be read.",
            analysis.input.malformed_tuples.to_string(),
        );
    }
    text.text
}

type Counts = BTreeMap<(&'static str, &'static str), u64>;

/// Counts the findings. Without an analysis, those that the state holds still count as ongoing.
fn findings(outcome: &Outcome) -> Counts {
    let mut counts = Counts::new();
    let mut add = |severity: Severity, state, is_suppressed| {
        *counts.entry((severity.name(), if is_suppressed { SUPPRESSED } else { state })).or_default() += 1;
    };
    match outcome.analysis {
        Some(analysis) => analysis.findings.iter().for_each(|found| {
            add(found.grade.severity, found.grade.state.name(), found.suppressed.is_some());
        }),
        None => outcome.known.iter().filter(|known| known.standing == Standing::Open).for_each(|known| {
            add(known.severity, State::Ongoing.name(), known.suppressed.is_some());
        }),
    }
    counts
}

/// Returns the denied tuples by dependency and rule, the most first.
fn denied(outcome: &Outcome) -> Vec<((String, String), i64)> {
    let mut sums = BTreeMap::<(String, String), i64>::new();
    for found in outcome.analysis.into_iter().flat_map(|analysis| &analysis.findings) {
        let name = clip(&name_of(found.identity.kind, &found.subject), LONGEST_LABEL);
        let rule = clip(found.blame.rule_name.as_deref().unwrap_or_default(), LONGEST_LABEL);
        *sums.entry((name, rule)).or_default() += found.denials.denied_tuples;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, tuples)| std::cmp::Reverse(*tuples));
    sums.truncate(MOST_SERIES);
    sums
}

fn seconds(time: Timestamp) -> String {
    (time.0 as f64 / 1000.0).to_string()
}

/// The text format of Prometheus.
struct Exposition<'a> {
    text: String,
    instance: &'a str,
}

impl Exposition<'_> {
    fn single(&mut self, name: &str, help: &str, value: String) {
        self.gauge(name, help, [(Vec::new(), value)]);
    }

    /// Writes all samples of a metric. The name of the instance is their first label.
    fn gauge<'v>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Vec<(&'v str, &'v str)>, String)>,
    ) {
        self.text += &format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
        for (labels, value) in samples {
            self.text += &format!("{name}{{apim=\"{}\"", escaped(&clip(self.instance, LONGEST_LABEL)));
            for (label, value) in labels {
                // Writing to a string does not fail.
                write!(self.text, ",{label}=\"{}\"", escaped(value)).unwrap_or_default();
            }
            self.text += &format!("}} {value}\n");
        }
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Replaces the file. The new one is readable by all, as the collector runs as another user.
pub async fn send(
    template: &str,
    message: &Message,
    body: Vec<u8>,
    leftovers: &Leftovers,
) -> Result<Receipt, DeliveryError> {
    let path = filled(template, &message.instance, message.at);
    let (target, leftovers) = (path.clone(), leftovers.clone());
    let written = tokio::task::spawn_blocking(move || replace(Path::new(&target), &body, &leftovers)).await;
    match written.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(()) => Ok(Receipt { tries: 1, words: format!("{path} was written") }),
        Err(error) => Err(unwritten(&path, &error)),
    }
}

/// Writes `NAME.PID` beside the file, which no collector reads, and renames it.
fn replace(path: &Path, bytes: &[u8], leftovers: &Leftovers) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let beside = folder.join(format!("{name}.{}", std::process::id()));
    leftovers.add(&beside);
    let written = fs::File::create(&beside).and_then(|mut file| {
        io::Write::write_all(&mut file, bytes)?;
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&beside, path));
    if renamed.is_err() {
        fs::remove_file(&beside).unwrap_or_default();
    }
    renamed
}
