//! The key `lake`: new logs are copied into a lake, and a run says of it what it says of the logs.

use super::*;

/// The same days, with or without a lake.
fn with_lake(hook: &Hook, is_used: bool) -> Job {
    let job = Job::over(&days_of_sql(), &hook.table("webhook"));
    if is_used {
        let lake = job.path("lake").display().to_string();
        let text = job.text("").replace("[[instance]]", &format!("lake = '{lake}'\n[[instance]]"));
        job.configure(&text);
    }
    job
}

/// Versions of a lake.
fn versions(job: &Job) -> usize {
    entries(&job.path("lake/_delta_log")).iter().filter(|name| name.ends_with(".json")).count()
}

#[test]
fn every_day_says_the_same() {
    let hooks = [Hook::start(200), Hook::start(200)];
    let [plain, lake] = [with_lake(&hooks[0], false), with_lake(&hooks[1], true)];
    for day in 0..DAYS.len() as i64 {
        let now = hours(24 * (day + 1));
        let runs = [&plain, &lake].map(|job| {
            let output = job.run_at(now, &[]);
            (output.status.code(), stderr(&output))
        });
        assert_eq!(runs[0], runs[1], "day {day}");
        let messages = [0, 1].map(|nr| {
            let findings = |message: &Value| message["data"]["findings"].clone();
            (hooks[nr].take().iter().map(findings).collect::<Vec<_>>(), [&plain, &lake][nr].state()["history"].clone())
        });
        assert_eq!(messages[0], messages[1], "day {day}");
    }
}

#[test]
fn a_run_without_new_logs_commits_nothing() {
    let hook = Hook::start(200);
    let job = with_lake(&hook, true);
    // A dry run writes nothing, and needs no lake.
    let output = job.run_at(hours(48), &["--dry-run"]);
    expect(&output, 1, "1 new");
    assert!(!job.path("lake").exists());
    job.day(1, 1, "1 new");
    let first = versions(&job);
    assert!(first >= 2);
    job.day(1, 1, "");
    assert_eq!(versions(&job), first);
    job.day(2, 1, "1 worsened");
    assert!(versions(&job) > first);
}

#[test]
fn logs_that_cannot_be_copied_fail_the_run() {
    let hook = Hook::start(200);
    let job = with_lake(&hook, true);
    std::fs::write(job.path("lake"), "no folder").expect("a file");
    let said = job.day(1, 4, "apim: ");
    assert!(said.contains("lake"), "{said}");
}
