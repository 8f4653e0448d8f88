//! Runs over days: transitions, instances, lag, suppressions.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;

const SQL_ROW: &str = "APIM-OUT-SQL";

/// Keys of a suppression besides what it matches.
fn accepted(entries: &[&str]) -> String {
    let entry = |keys: &&str| format!("[[suppress]]\nreason = 'ticket 123'\nowner = 'platform-team'\n{keys}\n");
    format!("schema = 'flowgap.suppressions/1'\n{}", entries.iter().map(entry).collect::<String>())
}

#[test]
fn each_change_is_told_once() {
    let hook = Hook::start(200);
    let job = Job::over(&days_of_sql(), &hook.table("webhook"));
    for (day, expected) in (0..).zip(DAYS) {
        let status = if matches!(expected, None | Some("resolved")) && day != 3 { 0 } else { 1 };
        // Half a day of a dependency that is quiet since is no failure.
        let status =
            if day == 1 { job.run_at(hours(48), &["--dry-run"]).status.code().expect("a status") } else { status };
        job.day(day, status, "flowgap: apim: ");
        let messages = hook.take();
        let found: Vec<_> = messages.iter().flat_map(told).collect();
        let wanted: Vec<_> = expected.map(|word| (word.to_owned(), SQL_ROW.to_owned())).into_iter().collect();
        assert_eq!(found, wanted, "day {day}: {messages:?} {}", job.state()["history"]);
        assert_eq!(messages.len(), wanted.len(), "day {day}");
        // The same day again says nothing new.
        job.day(day, status, "");
        assert!(hook.take().is_empty(), "day {day}");
        assert_eq!(job.state()["history"]["run"], 2 * (day + 1));
    }
    assert!(entries(&job.path("state/outbox")).is_empty());
}

/// The mode that the logs of the first day prove holds on the second day, whose logs prove none. It ends with the finding.
#[test]
fn a_proven_mode_stays_while_a_finding_lasts() {
    let mut log = Log::vnet();
    for day in 0..4 {
        healthy(&mut log, A, 24 * day..24 * (day + 1), &[SQL_ROW]);
    }
    for hour in 0..24 {
        // Proof takes ten answered calls from three clients on the Internet.
        let client = format!("203.0.113.{}", 10 + hour);
        log.connection(inbound(planted(hour), &client, A, 443), 1000, 1000);
    }
    deny_sql(&mut log, 0..48);
    (48..72).for_each(|hour| log.allowed(outbound(planted(hour), A, SQL, 1433)));
    let reports = tempfile::tempdir().expect("a folder");
    let path = format!("path = '{}/{{date}}.json'", reports.path().display());
    let job = Job::over(&log, &format!("[[deliver]]\nkind = 'file'\n{path}\non = ['always']\n"));
    for (day, status, mode, has_finding) in [
        (0, 1, Some("external"), true),
        (1, 1, Some("external"), true),
        (2, 0, Some("external"), false),
        (3, 0, None, false),
    ] {
        job.day(day, status, "");
        let date = &at(hours(24 * (day + 1)))[..10];
        let report: Value =
            serde_json::from_slice(&std::fs::read(reports.path().join(format!("{date}.json"))).expect("a report"))
                .expect("JSON");
        assert_eq!(report["scope"]["vnet_mode"], json!(mode), "day {day}");
        assert_eq!(report["scope"]["vnet_mode_origin"], json!(mode.map(|_| "proven")), "day {day}");
        assert_eq!(!report["findings"].as_array().expect("a list").is_empty(), has_finding, "day {day}");
    }
}

#[test]
fn what_is_out_of_sight_is_told_once_and_forgotten_after_30_days() {
    let mut log = Log::vnet();
    deny_sql(&mut log, 12..24);
    for day in [0, 1, 2, 31, 32] {
        healthy(&mut log, A, 24 * day..24 * (day + 1), &[SQL_ROW]);
    }
    let reports = "[[deliver]]\nkind = 'webhook'\non = ['change']\n";
    let hook = Hook::start(200);
    let job = Job::over(&log, &hook.table("webhook").replace("[[deliver]]\nkind = 'webhook'\n", reports));
    let count = |messages: &[Value], word: &str| -> u64 {
        messages.iter().map(|message| message["data"]["summary"]["transitions"][word].as_u64().expect("a count")).sum()
    };
    job.day(0, 1, "1 new");
    assert_eq!(count(&hook.take(), "new"), 1);
    for (day, word) in [(1, Some("lost-sight")), (2, None), (31, Some("forgotten")), (32, None)] {
        let said = job.day(day, 0, "");
        let messages = hook.take();
        assert_eq!(messages.len(), usize::from(word.is_some()), "day {day}: {said}");
        if let Some(word) = word {
            assert!(count(&messages, word) == 1 && said.contains(&format!("1 {word}")), "day {day}: {said}");
        }
    }
    assert_eq!(job.state()["history"]["findings"], serde_json::json!([]));
}

#[test]
fn a_new_epoch_starts_over_and_says_why() {
    let hook = Hook::start(200);
    let job = Job::over(&days_of_sql(), &hook.table("webhook"));
    job.day(2, 1, "this is the first run, 1 new");
    hook.take();
    job.configure(&job.text("vnet_mode = 'external'"));
    job.day(3, 1, "the last run had other settings: another mode of the virtual network, 1 new");
    assert_eq!(hook.take().iter().flat_map(told).collect::<Vec<_>>(), [("new".to_owned(), SQL_ROW.to_owned())]);
    job.configure(&job.text("vnet_mode = 'external'\nedition = '2016-12'"));
    job.day(3, 1, "edition 2016-12 instead of");
}

#[test]
fn an_instance_that_fails_does_not_keep_others_from_running() {
    let hook = Hook::start(200);
    let mut job = Job::over(&days_of_sql(), "");
    let other = "[source.absent]\naddress = ['testdata/absent']\n[[instance]]\nname = 'lost'\nsource = 'absent'\n\
                 [[instance]]\nname = 'again'\nsource = 'prod'\n[[instance]]\nname = 'calm'\nsource = 'prod'\n\
                 fail_on = 'never'\n";
    job.more = other.to_owned() + &hook.table("webhook");
    job.configure(&job.text(""));
    let said = job.day(2, 4, "flowgap: apim: this is the first run, 1 new");
    for line in [
        "flowgap: lost: 'testdata/absent' does not exist",
        "flowgap: again: this is the first run",
        "flowgap: calm: this is",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let messages = hook.take();
    let errors: Vec<&Value> = messages.iter().filter(|message| message["type"] == "flowgap.run.failed").collect();
    assert!(
        errors.len() == 1 && errors[0]["data"]["summary"]["errors"][0].to_string().contains("absent"),
        "{messages:?}"
    );
    // An error that lasts is told once, and is still the exit status.
    job.day(2, 4, "flowgap: lost: it failed as in the run before");
    assert!(hook.take().is_empty());
    expect(&job.run_at(hours(72), &["--instance", "apim"]), 1, "apim");
    let calm = expect(&job.run_at(hours(72), &["--instance", "calm"]), 0, "calm");
    assert!(!calm.contains("lost"), "{calm}");
    expect(&job.run_at(hours(72), &["--instance", "no"]), 2, "there is no instance 'no'");
    // It is back, then away again: that is a new error.
    job.configure(&job.text("").replace("testdata/absent", "testdata/apim"));
    job.day(2, 1, "flowgap: lost: could not tell; this is the first run");
    hook.take();
    job.configure(&job.text(""));
    job.day(2, 4, "flowgap: lost: 'testdata/absent' does not exist");
    assert_eq!(hook.take().len(), 1);
}

#[test]
fn the_worst_status_wins() {
    let mut job = Job::over(&days_of_sql(), "");
    let statuses = [
        // Name of an instance, more of its keys, and its status on day 2.
        ("told", "", 1),
        ("calm", "fail_on = 'never'", 0),
        ("thin", "fail_on = 'never'\nmin_coverage = 1.0", 3),
        ("wrong", "suppressions = 'testdata/absent.toml'", 2),
        ("lost", "source = 'absent'", 4),
    ];
    let table = |(name, keys, _): &(&str, &str, i32)| {
        let source = if keys.starts_with("source") { "" } else { "source = 'prod'\n" };
        format!("[[instance]]\nname = '{name}'\nsubnets = ['{SUBNET}']\n{source}{keys}\n")
    };
    let order = [0, 3, 1, 2, 4];
    job.more = "[source.absent]\naddress = ['testdata/absent']\n".to_owned();
    for (index, one) in statuses.iter().enumerate() {
        for other in &statuses[index..] {
            let tables = [one, other].map(table);
            let tables = if one == other { tables[0].clone() } else { tables.concat() };
            let text = job.text("");
            let head = text.split("[[instance]]").next().expect("a head");
            job.configure(&format!("{head}{}{tables}", job.more));
            let rank = |status: i32| order.iter().position(|known| *known == status);
            let worst = if rank(one.2) > rank(other.2) { one.2 } else { other.2 };
            let output = job.run_at(hours(72), &["--dry-run", "--quiet"]);
            expect(&output, worst, "");
        }
    }
}

#[test]
fn silence_is_told_once_per_interface() {
    let mut log = Log::vnet();
    healthy(&mut log, A, 0..30, &[]);
    healthy(&mut log, crate::cases::B, 0..20, &[]);
    healthy(&mut log, A, 40..48, &[]);
    let hook = Hook::start(200);
    let job = Job::over(&log, &hook.table("webhook"));
    let at_hour = |hour: i64, says: &str| {
        let output = job.run_at(hours(hour), &[]);
        expect(&output, output.status.code().expect("a status"), says)
    };
    let said = at_hour(21, "this is the first run");
    assert!(!said.contains("no new logs"), "{said}");
    at_hour(25, "no new logs for 5 hours from 000D3A");
    let messages = hook.take();
    assert!(
        messages.len() == 1 && messages[0].to_string().contains("the newest end at 2026-05-04 20:00 UTC"),
        "{messages:?}"
    );
    let said = at_hour(26, "nothing found");
    assert!(!said.contains("no new logs") && hook.take().is_empty(), "{said}");
    // A run that fails in between does not make it news.
    let text = job.text("");
    job.configure(&text.replace("/insights-logs-flowlogflowevent", "/absent"));
    at_hour(27, "absent");
    job.configure(&text);
    let said = at_hour(28, "nothing found");
    assert!(!said.contains("no new logs"), "{said}");
    // All are silent; then one is back, and silent again.
    at_hour(35, "no new logs for 5 hours from 000D3A");
    let said = at_hour(48, "");
    assert!(!said.contains("no new logs"), "{said}");
    at_hour(54, "no new logs for 6 hours from 000D3A");
}

#[test]
fn suppressions_hold_until_they_expire() {
    let hook = Hook::start(200);
    let mut log = Log::vnet();
    healthy(&mut log, A, 0..96, &[SQL_ROW]);
    deny_sql(&mut log, 0..96);
    let job = Job::over(&log, &hook.table("webhook"));
    let file = job.path("suppressions.toml");
    job.configure(&job.text(&format!("suppressions = '{}'", file.display())));
    let write = |entries: &[&str]| std::fs::write(&file, accepted(entries)).expect("written");
    let reported = |day: i64| {
        let path = job.path(&format!("report-{day}.json"));
        let table = format!("[[deliver]]\nkind = 'file'\npath = '{}'\n", path.display());
        let with = job.text(&format!("suppressions = '{}'", file.display())) + &table;
        job.configure(&with);
        path
    };
    // The logs are of 2026-05-04 to 2026-05-07. A suppression ends with its day.
    write(&["requirement = 'APIM-OUT-SQL'\nexpires = 2026-05-06", "rule = 'NoSuchRule*'\npermanent = true"]);
    let path = reported(0);
    let said = job.day(0, 0, "");
    assert!(hook.take().is_empty(), "{said}");
    let report: Value = serde_json::from_slice(&std::fs::read(&path).expect("a report")).expect("JSON");
    assert_eq!(report["findings"][0]["suppressed"]["owner"], "platform-team");
    assert!(report["coverage"].to_string().contains("blocked"), "coverage shows it");
    let notices = report["notices"].to_string();
    assert!(notices.contains("suppression-ends-soon") && notices.contains("suppression-unused"), "{notices}");
    job.day(1, 0, "");
    assert!(hook.take().is_empty());
    let path = reported(2);
    job.day(2, 1, "1 suppression-expired");
    let wanted = [("suppression-expired".to_owned(), SQL_ROW.to_owned())];
    assert_eq!(hook.take().iter().flat_map(told).collect::<Vec<_>>(), wanted);
    let report = std::fs::read_to_string(&path).expect("a report");
    assert!(report.contains("suppression by platform-team expired on 2026-05-06"), "{report}");
    job.day(3, 1, "1 continuing");
    assert!(hook.take().is_empty());
    // One that is worse than what is accepted counts.
    write(&["requirement = 'APIM-OUT-SQL'\npermanent = true\nmax_severity = 'low'"]);
    job.day(3, 1, "1 continuing");
    write(&["requirement = 'APIM-OUT-SQL'\npermanent = true"]);
    job.day(3, 0, "");
    assert!(hook.take().is_empty());
    // A file that is wrong is an error, and it is told.
    write(&["requirement = 'APIM-OUT-SQL'\npermanent = true\nexpires = 2026-05-06"]);
    job.day(3, 2, "expires and permanent contradict each other");
    std::fs::remove_file(&file).expect("removed");
    job.day(3, 2, "it failed as in the run before");
}

#[test]
fn a_dry_run_writes_nothing() {
    let hook = Hook::start(200);
    let job = Job::over(&days_of_sql(), "");
    let reports = format!("[[deliver]]\nkind = 'file'\npath = '{}'\n", job.path("report.json").display());
    job.configure(&(job.text("") + &hook.table("slack") + &reports));
    let before = entries(job.folder.path());
    expect(&job.run_at(hours(72), &["--dry-run"]), 1, "this is the first run, 1 new");
    assert_eq!(entries(job.folder.path()), before);
    job.day(2, 1, "this is the first run");
    let (before, state) = (entries(job.folder.path()), job.state());
    expect(&job.run_at(hours(120), &["--dry-run"]), 0, "1 resolved");
    assert_eq!((entries(job.folder.path()), job.state()), (before, state));
    assert_eq!(hook.take().len(), 1);
}

#[test]
fn several_sources_and_two_findings_at_once() {
    let mut log = days_of_sql();
    (48..72).for_each(|hour| log.denied(outbound(planted(hour), A, MONITOR, 443), DENY));
    let [one, two] = log.write_in_two();
    let hook = Hook::start(200);
    let job = Job::over(&Log::vnet(), &hook.table("webhook"));
    let logs = format!("{}/insights-logs-flowlogflowevent", job.folder.path().display());
    let both = format!("{}', '{}", one.path().display(), two.path().display());
    job.configure(&job.text("").replace(&logs, &both));
    job.day(0, 0, "this is the first run");
    job.day(2, 1, "2 new");
    let messages = hook.take();
    assert!(messages.len() == 1 && told(&messages[0]).len() == 2, "one message: {messages:?}");
}

#[test]
fn instances_of_one_source_are_scanned_together_and_give_what_each_gives_alone() {
    const NAMES: [&str; 5] = ["whole", "again", "half", "absent", "inferred"];
    let folder = tempfile::tempdir().expect("a folder");
    let instance = |name: &str, subnet: &str, more: &str| {
        format!("[[instance]]\nname = '{name}'\nsource = 's'\nsubnets = ['{subnet}']\nwindow = '7d'\n{more}\n")
    };
    let instances = [
        instance("whole", "10.20.1.0/24", ""),
        // It has the same scope.
        instance("again", "10.20.1.0/24", "fail_on = 'critical'"),
        instance("half", "10.20.1.4/32", "vnet_mode = 'external'"),
        instance("absent", "10.99.0.0/24", "edition = '2016-12'"),
        // Its subnet has to be inferred, so it scans alone.
        "[[instance]]\nname = 'inferred'\nsource = 's'\nwindow = '7d'\n".to_owned(),
    ];
    let path = folder.path().join("job.toml");
    let reports = |state: &str, chosen: &[&str]| {
        let place = folder.path().join(state);
        let text = format!(
            "schema = 'flowgap.config/1'\nstate = '{0}'\n[source.s]\naddress = ['testdata/apim']\n{1}\
             [[deliver]]\nkind = 'file'\npath = '{0}/{{instance}}.json'\n",
            place.display(),
            instances.concat()
        );
        std::fs::write(&path, text).expect("a configuration");
        let now = ["run", "--config", path.to_str().expect("UTF-8"), "--now", "2026-05-05T07:00:00Z"];
        let output = command(&[&now[..], chosen].concat()).env("FLOWGAP_LOG", "debug").output().expect("starts");
        let text = |name: &str| std::fs::read_to_string(place.join(format!("{name}.json"))).ok();
        (stderr(&output).matches(" scanned ").count(), NAMES.map(text))
    };
    let (scanned, together) = reports("all", &[]);
    let mut alone = NAMES.map(|_| None);
    let mut of_one = 0;
    for (place, name) in NAMES.into_iter().enumerate() {
        let (scanned, reports) = reports(name, &["--instance", name]);
        alone[place].clone_from(&reports[place]);
        of_one = if name == "whole" { scanned } else { of_one };
    }
    assert!(of_one > 50, "{of_one}");
    // One scan for the four, one for the instance to infer, and one that lists the subnets where `absent` has no flow.
    assert_eq!(scanned, 3 * of_one);
    for (together, alone) in together.iter().zip(&alone) {
        assert!(together.is_some() && together == alone, "{together:?} {alone:?}");
    }
}

#[test]
fn each_failed_run_has_messages_of_its_own() {
    let hook = Hook::start(200);
    let always = hook.table("webhook") + "on = ['always']\n";
    let job = Job::over(&Log::vnet(), &always);
    job.configure(&job.text("").replace("insights-logs-flowlogflowevent", "absent"));
    for day in 0..3 {
        job.day(day, 4, "flowgap: apim: ");
    }
    let seen = hook.seen.lock().expect("a list");
    let ids: BTreeSet<Option<&str>> = seen.iter().map(|request| request.header("webhook-id")).collect();
    assert_eq!((seen.len(), ids.len()), (3, 3), "a receiver that drops what arrives twice gets all: {ids:?}");
    assert!(!ids.contains(&None));
}

#[test]
fn what_no_requirement_names_is_resolved_by_flows_of_its_peers() {
    const BACKEND: &str = "10.30.9.9";
    for (later, expected) in [(Some(9443), "resolved"), (Some(9444), "lost-sight"), (None, "lost-sight")] {
        let mut log = Log::vnet();
        healthy(&mut log, A, 0..48, &[]);
        for hour in 0..48 {
            let flow = outbound(planted(hour), A, BACKEND, 9443);
            match hour {
                0..12 => log.allowed(flow),
                12..24 => log.denied(flow, DENY),
                _ => later.into_iter().for_each(|port| log.allowed(outbound(planted(hour), A, BACKEND, port))),
            }
        }
        let job = Job::over(&log, "");
        job.run_at(hours(24), &[]);
        let before = job.state()["history"]["findings"].clone();
        let found = before.as_array().and_then(|all| all.first()).unwrap_or_else(|| panic!("no finding: {before}"));
        assert_eq!((&found["kind"], &found["peers"][0]), (&json!("unlisted-blocked"), &json!(BACKEND)));
        let said = job.run_at(hours(48), &[]);
        assert!(stderr(&said).contains(&format!("1 {expected}")), "{later:?}: {}", stderr(&said));
    }
}

#[test]
fn cached_service_tags_are_used_unless_a_file_is_named() {
    let cache = tempfile::tempdir().expect("a folder");
    let place = cache.path().join("flowgap");
    std::fs::create_dir(&place).expect("a folder");
    std::fs::copy(TAG_FILE, place.join("ServiceTags_Public_20260504.json")).expect("copied");
    let report = "[[deliver]]\nkind = 'file'\npath = 'REPORT'\n";
    let job = Job::over(&days_of_sql(), report);
    let path = job.path("report.json");
    let named = job.text("").replace("REPORT", path.to_str().expect("UTF-8"));
    let unnamed = named.replace(&format!("service_tags = '{TAG_FILE}'\n"), "");
    assert_ne!(named, unnamed);
    let tags = |text: &str, cache: Option<&Path>| {
        job.configure(text);
        let mut command = job.command(hours(72), &[]);
        cache.into_iter().for_each(|cache| _ = command.env("XDG_CACHE_HOME", cache));
        expect(&command.output().expect("starts"), 1, "apim");
        let bytes = std::fs::read(&path).expect("a report");
        let report: Value = serde_json::from_slice(&bytes).expect("JSON");
        let is_cached = report["notices"].to_string().contains("service-tags-cached");
        (!report["scope"]["service_tags"].is_null(), is_cached)
    };
    assert_eq!(tags(&named, Some(cache.path())), (true, false));
    assert_eq!(tags(&unnamed, Some(cache.path())), (true, true));
    assert_eq!(tags(&unnamed, None), (false, false));
}
