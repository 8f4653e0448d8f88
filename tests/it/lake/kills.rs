use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::*;

/// Places at which a run is killed.
const PLACES: [&str; 13] = [
    "create-cursor",
    "created",
    "file-created",
    "file-written",
    "file-complete",
    "before-rename",
    "after-rename",
    "before-link",
    "after-link",
    "lost-answer",
    "cursor-written",
    "committed",
    "replace",
];

/// Runs to kill: 50 unless the variable asks for another number.
fn kills() -> usize {
    std::env::var("FLOWGAP_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(50)
}

fn start(world: &World, arguments: &[&str], failpoint: Option<&str>) -> Child {
    let mut run = world.command(arguments);
    run.stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(failpoint) = failpoint {
        run.env("FLOWGAP_FAILPOINT", failpoint);
    }
    run.spawn().expect("flowgap starts")
}

/// Changes blobs and kills runs on them, until so many runs were killed. `at_once` runs write at the same time.
fn change_and_kill(seed: u64, kills: usize, at_once: usize) {
    let mut world = World::new(seed);
    let (mut killed, mut rounds) = (0, 0);
    let mut by_place: BTreeMap<String, usize> = BTreeMap::new();
    let started = Instant::now();
    for hour in 0..4 {
        world.add(1, hour, 20);
    }
    while killed < kills {
        assert!(started.elapsed() < Duration::from_secs(3600), "{killed} runs killed");
        rounds += 1;
        // A lake that is made while it is killed, now and then.
        if rounds % 6 == 0 {
            std::fs::remove_dir_all(world.lake()).expect("removed");
            world.ghosts.clear();
        }
        for _ in 0..3 {
            (0..1 + world.chance.below(4)).for_each(|_| world.change());
            let mut runs: Vec<(Child, String, Duration)> = Vec::new();
            for _ in 0..at_once {
                let verb: &[&str] = match world.chance.below(6) {
                    0 => &["lake", "compact", "LAKE"],
                    _ => &["ingest", "LOGS", "--to", "LAKE", "--commit-every", "1MB"],
                };
                let (place, nth) = (*world.chance.of(&PLACES), 1 + world.chance.below(3));
                let failpoint = format!("{place}:{nth}");
                // A third of the runs are killed at any instant.
                let is_timed = world.chance.below(3) == 0;
                let wait = Duration::from_micros(if is_timed { world.chance.below(120_000) } else { 20_000_000 });
                let run = start(&world, verb, (!is_timed).then_some(&failpoint));
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
    change_and_kill(11, kills(), 1);
}

#[test]
fn runs_at_the_same_time_write_each_row_once() {
    change_and_kill(12, kills() / 2, 3);
}
