//! Runs that are killed at any point, and several at a time: no transition is lost, and none arrives under two ids.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Child;
use std::time::{Duration, Instant};

use super::*;
use crate::support::azurite::Azurite;

/// A generator of numbers that look random.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end.max(1)
    }
}

/// Messages by id: the bodies that arrived under it.
type Arrived = BTreeMap<String, Vec<Value>>;

/// Runs to kill: 60 unless the variable asks for another number.
fn kills() -> usize {
    std::env::var("FLOWGAP_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

/// A slow receiver, so that kills fall into the delivery too. It takes some messages and then breaks the connection, as
/// a proxy does, so the sender cannot know that they arrived.
fn slow_hook() -> Hook {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    let server = serve(move |request: &Request, stream| {
        let count = {
            let mut kept = kept.lock().expect("a list");
            kept.push(request.clone());
            kept.len()
        };
        std::thread::sleep(Duration::from_millis(20));
        match count % 7 {
            6 => Err(std::io::ErrorKind::ConnectionReset.into()),
            _ => Answer::new(200, &[], "").send(request, stream),
        }
    });
    Hook { server, seen }
}

fn arrived(hook: &Hook) -> Arrived {
    let mut arrived = Arrived::new();
    for request in std::mem::take(&mut *hook.seen.lock().expect("a list")) {
        let id = request.header("webhook-id").expect("an id").to_owned();
        arrived.entry(id).or_default().push(serde_json::from_slice(&request.body).expect("JSON"));
    }
    arrived
}

/// Compares what arrived on a day with the model: that transition, once, under one id.
fn check(day: usize, arrived: &Arrived) {
    let mut found = Vec::new();
    for (id, bodies) in arrived {
        let said: BTreeSet<_> = bodies.iter().map(told).collect();
        assert_eq!(said.len(), 1, "day {day}: {id} says several things: {bodies:?}");
        found.extend(said.into_iter().flatten());
    }
    let wanted: Vec<_> = DAYS[day].map(|word| (word.to_owned(), "APIM-OUT-SQL".to_owned())).into_iter().collect();
    assert_eq!(found, wanted, "day {day}: {arrived:?}");
}

fn start(job: &Job, day: usize) -> Child {
    let mut run = job.command(hours(24 * (day as i64 + 1)), &["--quiet"]);
    run.stderr(std::process::Stdio::null()).spawn().expect("flowgap starts")
}

/// Runs the days again and again, until so many runs were killed. `at_once` runs share the state.
fn run_and_kill(kills: usize, at_once: usize, place: &dyn Fn(&Job, usize)) {
    let log = days_of_sql();
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let (mut killed, mut round, mut after) = (0, 0, 0);
    while killed < kills {
        let hook = slow_hook();
        let job = Job::over(&log, &hook.table("webhook"));
        place(&job, round);
        round += 1;
        // How long so many runs take.
        let started = Instant::now();
        let mut runs: Vec<Child> = (0..at_once).map(|_| start(&job, 0)).collect();
        runs.iter_mut().for_each(|run| assert!(run.wait().expect("ended").success()));
        let whole = started.elapsed();
        for day in 1..DAYS.len() {
            let attempts = kills.div_ceil(DAYS.len() - 1).min(16);
            for attempt in 0..attempts {
                let before = hook.seen.lock().expect("a list").len();
                let mut runs: Vec<Child> = (0..at_once).map(|_| start(&job, day)).collect();
                for run in &mut runs {
                    match attempt {
                        // Somewhere in the run; most of it writes nothing.
                        _ if attempt % 3 == 0 => {
                            std::thread::sleep(Duration::from_micros(chance.below(whole.as_micros() as u64)));
                        }
                        // Shortly before the first message, or after it.
                        _ => {
                            let is_quiet = || hook.seen.lock().expect("a list").len() == before;
                            let from = Instant::now();
                            while is_quiet() && from.elapsed() < whole && run.try_wait().expect("a run").is_none() {
                                std::thread::sleep(Duration::from_micros(100 + chance.below(5_000)));
                            }
                            std::thread::sleep(Duration::from_micros(chance.below(40_000)));
                        }
                    }
                    let is_over = run.try_wait().expect("a run").is_some();
                    run.kill().expect("killed");
                    run.wait().expect("ended");
                    killed += usize::from(!is_over);
                    after += usize::from(!is_over && !hook.seen.lock().expect("a list").is_empty());
                }
            }
            let mut runs: Vec<Child> = (0..at_once).map(|_| start(&job, day)).collect();
            for run in &mut runs {
                let status = run.wait().expect("ended").code();
                assert!(matches!(status, Some(0 | 1 | 3)), "day {day}: {status:?}");
            }
            // A run that lost the race may have left one for the next run.
            start(&job, day).wait().expect("ended");
            check(day, &arrived(&hook));
        }
        if job.path("state").exists() {
            let left: Vec<String> = entries(&job.path("state"));
            assert!(left.iter().all(|name| !name.contains(".tmp") && !name.contains("message-")), "{left:?}");
        }
    }
    println!("{killed} runs killed in {round} rounds, {after} of them after the first message of their day");
    assert!(after > 0 && after < killed, "all kills fell on one side of the delivery: {after} of {killed}");
}

#[test]
fn a_run_that_is_killed_loses_no_transition() {
    run_and_kill(kills(), 1, &|_, _| {});
}

#[test]
fn runs_on_one_folder_wait_for_each_other() {
    run_and_kill(kills() / 2, 3, &|_, _| {});
}

#[test]
fn runs_on_one_blob_compare_again() {
    let azurite = Azurite::start();
    run_and_kill(kills() / 2, 3, &|job, round| {
        let container = format!("state{round}");
        azurite.create_container(&container, &[]);
        let folder = job.path("state").display().to_string();
        job.configure(&job.text("").replace(&folder, &format!("{}/{container}/jobs", azurite.account())));
    });
}
