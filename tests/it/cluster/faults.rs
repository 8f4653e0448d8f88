//! Faults at random moments: the answer is that of one process, or there is none, and a sentence says why.
//! `FLOWGAP_FAULT_RUNS` sets the number of runs, `FLOWGAP_SEED` the moments.

use std::collections::BTreeMap;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use super::{Cluster, Start, generated, text};
use crate::support::azurite::{Azurite, CONTAINER, KEY, sas};
use crate::support::binary::{command, flowgap, stderr};

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// An executor is killed.
    Killed,
    /// All executors are killed, and come back a little later.
    AllKilled,
    /// An executor is stopped, and goes on after the end.
    Stopped,
    /// A task panics.
    Panic,
    /// A task hangs.
    Hang,
    /// The answers on the disk of an executor are deleted.
    Deleted,
    /// The scheduler is killed and started again.
    Restarted,
    /// An executor is of another version.
    OtherVersion,
    /// An executor has a wrong key.
    NoCredential,
}

use Fault::*;

const FAULTS: [Fault; 9] = [Killed, Panic, Deleted, Restarted, OtherVersion, Hang, NoCredential, Stopped, AllKilled];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn signal(process: u32, signal: &str) {
    let sent = std::process::Command::new("kill").args([signal, &process.to_string()]).status().expect("kill");
    assert!(sent.success(), "{signal}");
}

#[test]
fn no_fault_makes_an_answer_smaller() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = generated(folder.path(), "logs", "vnet4", 72);
    let azurite = Azurite::start();
    azurite.create_container(CONTAINER, &[]);
    azurite.upload(CONTAINER, &archive);
    let address =
        format!("{}?{}", azurite.address(), sas(CONTAINER, "rl", "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"));
    let analyze = |source: &str| ["analyze", source, "--no-keep", "--format", "json"].map(str::to_owned);
    let [local, remote] = [text(&archive), &address].map(analyze);
    let words = |words: &'_ [String; 5]| flowgap(&words.each_ref().map(String::as_str));
    let [expected, expected_remote] = [words(&local), words(&remote)];
    assert_eq!((expected.status.code(), expected_remote.status.code()), (Some(0), Some(0)));

    let (runs, mut chance) = (number("FLOWGAP_FAULT_RUNS", 10), fastrand::Rng::with_seed(number("FLOWGAP_SEED", 7)));
    let usual = {
        let cluster = Cluster::plain(2);
        let started = Instant::now();
        let run = cluster.run(&local.each_ref().map(String::as_str));
        assert_eq!(run.stdout, expected.stdout, "{}", stderr(&run));
        started.elapsed()
    };
    let mut ends: BTreeMap<(Fault, &str), usize> = BTreeMap::new();
    for nr in 0..runs {
        let fault = FAULTS[nr as usize % FAULTS.len()];
        let (arguments, expected) =
            if fault == NoCredential { (&remote, &expected_remote) } else { (&local, &expected) };
        let key = |key: &str| Start {
            environment: vec![("AZURE_STORAGE_KEY", key.to_owned())],
            options: vec!["--auth", "key", "--stall", "3"],
        };
        let mut bad = key(if fault == NoCredential { "d3Jvbmc=" } else { KEY });
        let task = 1 + chance.u32(0..3);
        bad.environment.extend(match fault {
            Panic => Some(("FLOWGAP_FAULT", format!("panic={task}"))),
            Hang => Some(("FLOWGAP_FAULT", format!("hang={task}"))),
            OtherVersion => Some(("FLOWGAP_FAULT", "version=0.0.1".to_owned())),
            _ => None,
        });
        let mut cluster = Cluster::start(&[bad, key(KEY)]);
        let mut client = command(&arguments.each_ref().map(String::as_str));
        let client = client.args(["--cluster", &cluster.url()]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let client = client.spawn().expect("starts");
        let waiting = std::thread::spawn(move || (client.wait_with_output().expect("ends"), Instant::now()));
        let begun = Instant::now();
        std::thread::sleep(usual.mul_f64(chance.f64() * 1.1));
        harm(&mut cluster, fault, &key(KEY));
        let deadline = Duration::from_secs(240);
        while !waiting.is_finished() {
            assert!(begun.elapsed() < deadline, "{fault:?} (run {nr}): no end after {deadline:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        if fault == Stopped {
            signal(cluster.executors[0].id(), "-CONT");
        }
        let (found, _) = waiting.join().expect("a client");
        let end = end(&found, expected, fault, nr);
        println!("run {nr}: {fault:?}: {end} ({:.1} s)", begun.elapsed().as_secs_f64());
        *ends.entry((fault, end)).or_default() += 1;
    }
    let total: usize = ends.values().sum();
    assert_eq!(total as u64, runs);
    println!("{runs} runs:");
    ends.iter().for_each(|((fault, end), count)| println!("{fault:?}: {count} {end}"));
    assert!(ends.keys().any(|(_, end)| *end == "equal"));
}

fn harm(cluster: &mut Cluster, fault: Fault, again: &Start) {
    match fault {
        Killed => cluster.executors[0].kill().expect("killed"),
        AllKilled => {
            cluster.executors.iter_mut().for_each(|executor| executor.kill().expect("killed"));
            std::thread::sleep(Duration::from_millis(500));
            cluster.start_executor(again);
        }
        Stopped => signal(cluster.executors[0].id(), "-STOP"),
        Deleted => {
            let folders = std::fs::read_dir(cluster.work_dir(0)).into_iter().flatten().flatten();
            for answers in folders.map(|entry| entry.path()).filter(|path| !path.ends_with("spill")) {
                // It may be going already.
                let _ = std::fs::remove_dir_all(answers);
            }
        }
        Restarted => {
            cluster.kill_scheduler();
            cluster.start_scheduler();
        }
        Panic | Hang | OtherVersion | NoCredential => {}
    }
}

/// Returns how a run ended. Fails if it gave another answer.
fn end(found: &Output, expected: &Output, fault: Fault, nr: u64) -> &'static str {
    let said = stderr(found);
    if found.status.code() == Some(5) {
        assert!(found.stdout.is_empty(), "{fault:?} (run {nr}): an answer and a failure: {said}");
        assert!(said.contains("there is no answer: "), "{fault:?} (run {nr}): {said}");
        return "without an answer";
    }
    assert_eq!(found.status.code(), expected.status.code(), "{fault:?} (run {nr}): {said}");
    assert!(found.stdout == expected.stdout, "{fault:?} (run {nr}): another answer: {said}");
    if said.contains("run again") { "equal after tasks ran again" } else { "equal" }
}

#[test]
fn a_job_without_executors_ends() {
    let cluster = Cluster::plain(0);
    let begun = Instant::now();
    let run = cluster.run(&["analyze", "testdata/apim", "--no-keep"]);
    let said = stderr(&run);
    assert_eq!(run.status.code(), Some(5), "{said}");
    assert!(run.stdout.is_empty() && said.contains("there is no executor"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", begun.elapsed());
}
