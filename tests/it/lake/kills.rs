use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::*;

/// Places at which a run that commits is killed.
const COMMIT: [&str; 9] = [
    "file-written",
    "file-complete",
    "before-rename",
    "after-rename",
    "before-link",
    "after-link",
    "lost-answer",
    "cursor-written",
    "committed",
];
/// Further places of an ingest, and those of other verbs.
const INGEST: [&str; 4] = ["create-cursor", "created", "file-created", "replace"];
const DELETE: [&str; 1] = ["delete"];
const VACUUM: [&str; 2] = ["vacuum-listed", "vacuum"];

/// How runs end.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// They are killed, a third of them at any instant.
    Killed,
    /// The power goes, and what was not synced may be lost.
    PowerCut,
}

pub fn start(world: &World, arguments: &[&str], failpoint: Option<&str>) -> Child {
    let mut run = world.command(arguments);
    run.stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(failpoint) = failpoint {
        run.env("FLOWGAP_FAILPOINT", failpoint);
    }
    run.spawn().expect("flowgap starts")
}

/// Returns a command to kill, and the place.
fn deadly(world: &mut World, deletes: bool) -> (Vec<&'static str>, &'static str) {
    let (verb, more): (&[&'static str], &[&'static str]) = match world.chance.below(8) {
        0 => (&["lake", "compact", "LAKE"], &[]),
        1 => (&["lake", "vacuum", "LAKE", "--older-than", "1m", "--force"], &VACUUM),
        2 | 3 if deletes => (&DELETE_FIRST_DAY, &DELETE),
        _ => (&["ingest", "LOGS", "--to", "LAKE", "--commit-every", "1MB"], &INGEST),
    };
    let places = if more == VACUUM { VACUUM.to_vec() } else { [&COMMIT[..], more].concat() };
    let place = *world.chance.of(&places);
    (verb.to_vec(), place)
}

/// Changes blobs and ends runs on them, until so many runs were killed. `at_once` runs write at the same time.
fn change_and_kill(seed: u64, kills: usize, at_once: usize, end: End) {
    let mut world = World::new(seed.wrapping_add(number("FLOWGAP_SEED", 0)));
    let (mut killed, mut rounds) = (0, 0);
    let mut by_place: BTreeMap<String, usize> = BTreeMap::new();
    let started = Instant::now();
    for hour in 0..4 {
        world.add(1, hour, 20);
    }
    while killed < kills {
        assert!(started.elapsed() < Duration::from_secs(7200), "{killed} runs killed");
        rounds += 1;
        // A lake that is made while it is killed, now and then.
        if rounds % 6 == 0 {
            std::fs::remove_dir_all(world.lake()).expect("removed");
            world.ghosts.clear();
            world.is_cut = false;
        }
        let deletes = rounds % 6 > 3;
        for _ in 0..4 {
            (0..1 + world.chance.below(4)).for_each(|_| world.change());
            // What runs left that were killed, a vacuum deletes.
            if world.chance.below(2) == 0 && Path::new(&world.lake()).exists() {
                age(Path::new(&world.lake()));
            }
            let mut runs: Vec<(Child, String, Duration)> = Vec::new();
            for _ in 0..at_once {
                let ((verb, place), nth) = (deadly(&mut world, deletes), 1 + world.chance.below(3) / 2);
                let failpoint = format!("{place}:{nth}{}", if end == End::PowerCut { ":power" } else { "" });
                let is_timed = end == End::Killed && world.chance.below(3) == 0;
                let wait = Duration::from_micros(if is_timed { world.chance.below(120_000) } else { 20_000_000 });
                let run = start(&world, &verb, (!is_timed).then_some(&failpoint));
                runs.push((run, if is_timed { "any instant".to_owned() } else { place.to_owned() }, wait));
            }
            let from = Instant::now();
            for (mut run, place, wait) in runs {
                loop {
                    match run.try_wait().expect("a run") {
                        Some(status) => {
                            let is_killed = status.code().is_none();
                            killed += usize::from(is_killed);
                            *by_place.entry(place).or_default() += usize::from(is_killed);
                            break;
                        }
                        None if from.elapsed() > wait => {
                            run.kill().expect("killed");
                            run.wait().expect("ended");
                            killed += 1;
                            *by_place.entry(place).or_default() += 1;
                            break;
                        }
                        None => std::thread::sleep(Duration::from_micros(300)),
                    }
                }
            }
        }
        world.ingest();
        if deletes {
            world.done(&DELETE_FIRST_DAY);
            world.is_cut = true;
        }
        world.check(&format!("seed {seed}, round {rounds}, {killed} runs killed"));
        if world.chance.below(3) == 0 && world.blobs.len() > 2 {
            let names: Vec<String> = world.blobs.keys().cloned().collect();
            let name = world.chance.of(&names).clone();
            world.remove(&name);
        }
        if rounds % 4 == 0 {
            world.done(&["lake", "compact", "LAKE"]);
            age(Path::new(&world.lake()));
            world.done(&["lake", "vacuum", "LAKE", "--older-than", "1m", "--force"]);
            world.check("after housekeeping");
        }
    }
    println!("{killed} runs killed in {rounds} rounds: {by_place:?}");
    assert!(by_place.len() > 5, "{by_place:?}");
    world.done(&["lake", "verify", "LAKE", "LOGS"]);
}

#[test]
fn a_run_that_is_killed_loses_and_repeats_no_row() {
    change_and_kill(11, kills(), 1, End::Killed);
}

#[test]
fn runs_at_the_same_time_write_each_row_once() {
    change_and_kill(12, kills() / 2, 3, End::Killed);
}

#[test]
#[cfg(unix)]
fn a_power_cut_loses_and_repeats_no_row() {
    change_and_kill(13, kills() / 4, 1, End::PowerCut);
}

#[test]
#[cfg(unix)]
fn a_power_cut_after_a_commit_keeps_it() {
    let mut world = World::new(14);
    for hour in 0..4 {
        world.add(1, hour, 20);
        let cut = start(&world, &["ingest", "LOGS", "--to", "LAKE"], Some("committed:1:power")).wait();
        assert_eq!(cut.expect("an end").code(), None);
        assert_eq!(rows(&world.lake()), world.expected());
    }
}
