//! Comparisons of runs: random histories of one archive against a plain model of the transitions, and rules one by one.

use std::collections::BTreeMap;

use flowgap::catalog::Catalog;
use flowgap::engine::{Session, SessionOptions};
use flowgap::findings::history::{Changes, Comparison, Epoch, History, PeersAllowed, REMEMBERED, Standing, Transition};
use flowgap::findings::{self, Analysis, Gate, Severity, Suppression};
use flowgap::time::{DAY, Timestamp};
use proptest::prelude::*;
use tokio::runtime::Runtime;

use crate::sql::{scope, source};
use crate::support::archive::{Log, inbound, outbound};

const MINUTE: i64 = 60_000;

/// What the logs of a day show of one dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    Allowed,
    Refused,
    /// Refused until noon, allowed after it.
    Mended,
}

const SHOWN: [Shown; 4] = [Shown::Nothing, Shown::Allowed, Shown::Refused, Shown::Mended];

/// Dependencies: requirement, peer and port.
const DEPENDENCIES: [(&str, &str, u16); 2] =
    [("APIM-OUT-SQL", "192.0.2.33", 1433), ("APIM-OUT-STORAGE", "192.0.2.1", 443)];

/// Analyses the logs of one day. The instance is probed and managed all day, so that the run can tell.
fn analyse(runtime: &Runtime, shown: &[Shown]) -> Analysis {
    let mut log = Log::vnet();
    for step in 0..72 {
        let time = step * 20 * MINUTE;
        log.allowed(inbound(time, "168.63.129.16", "10.20.1.4", 6390));
        log.allowed(inbound(time, "192.0.2.145", "10.20.1.4", 3443));
        for (&shown, (_, peer, port)) in shown.iter().zip(DEPENDENCIES) {
            let flow = outbound(time, "10.20.1.4", peer, port);
            match shown {
                Shown::Nothing => {}
                Shown::Allowed => log.allowed(flow),
                Shown::Mended if step >= 36 => log.allowed(flow),
                Shown::Refused | Shown::Mended => log.denied(flow, "UserRule_deny-out"),
            }
        }
    }
    let folder = log.write();
    runtime.block_on(async {
        let sources = [source(folder.path().to_str().expect("UTF-8"))];
        let session = Session::open(&sources, scope(Catalog::NEWEST, true), SessionOptions::default()).await;
        let gate = Gate { min_coverage: 0.0, ..Gate::default() };
        findings::analyze(&mut session.expect("opens"), &gate).await.expect("analyses")
    })
}

/// Compares with a history, as a run at `now` does.
fn compare(history: &History, analysis: &mut Analysis, now: i64) -> (Changes, History) {
    let epoch = Epoch::of(analysis);
    history.compare(
        analysis,
        &Comparison { now: Timestamp(now), epoch, peers_allowed: PeersAllowed::new(), fail_on: None },
    )
}

/// Analyses of all days that can be, because each takes a while.
fn days(runtime: &Runtime) -> BTreeMap<[usize; 2], Analysis> {
    let pairs = (0..4).flat_map(|one| (0..4).map(move |other| [one, other]));
    pairs.map(|pair| (pair, analyse(runtime, &pair.map(|index| SHOWN[index])))).collect()
}

/// The plain model: where a dependency stands, and since which day.
type Model = Option<(Standing, i64)>;

/// What a run says of one dependency, and where it stands then.
fn expected(known: Model, shown: Shown, day: i64) -> (Option<Transition>, Model) {
    let is_old = |since: i64| (day - since) * DAY >= REMEMBERED;
    use Standing::{Open, OutOfSight, Resolved};
    match (shown, known) {
        (Shown::Refused, None) => (Some(Transition::New), Some((Open, day))),
        (Shown::Refused, Some((Resolved, since))) if is_old(since) => (Some(Transition::New), Some((Open, day))),
        (Shown::Refused, Some((Resolved, _))) => (Some(Transition::Reopened), Some((Open, day))),
        (Shown::Refused, Some((Open, since))) => (Some(Transition::Continuing), Some((Open, since))),
        (Shown::Refused, Some((OutOfSight, _))) => (Some(Transition::Continuing), Some((Open, day))),
        (Shown::Mended, None) => (Some(Transition::New), Some((Resolved, day))),
        (Shown::Mended, Some((Resolved, since))) => (Some(Transition::Continuing), Some((Resolved, since))),
        (Shown::Mended, Some(_)) => (Some(Transition::Resolved), Some((Resolved, day))),
        (_, None) => (None, None),
        (_, Some((Resolved, since))) => (None, (!is_old(since)).then_some((Resolved, since))),
        (Shown::Allowed, Some(_)) => (Some(Transition::Resolved), Some((Resolved, day))),
        (Shown::Nothing, Some((Open, _))) => (Some(Transition::LostSight), Some((OutOfSight, day))),
        (Shown::Nothing, Some((OutOfSight, since))) if is_old(since) => (Some(Transition::Forgotten), None),
        (Shown::Nothing, Some((OutOfSight, since))) => (None, Some((OutOfSight, since))),
    }
}

#[test]
fn random_histories_equal_a_plain_model() {
    let runtime = Runtime::new().expect("a runtime");
    let days = days(&runtime);
    let run = (0_usize..4, 0_usize..4, prop_oneof![4 => Just(1_i64), 1 => Just(31_i64)]);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(300));
    let histories = prop::collection::vec(run, 1..12);
    let checked = runner.run(&histories, |runs| {
        let (mut history, mut models, mut day) = (History::new(), [None; 2], 0);
        for (index, (one, other, later)) in runs.into_iter().enumerate() {
            day += later;
            // The logs of a day carry its date: the same flows, moved.
            let mut analysis = days[&[one, other]].clone();
            move_by(&mut analysis, day * DAY);
            let (changes, next) = compare(&history, &mut analysis, day * DAY);
            prop_assert_eq!(changes.fresh.is_some(), index == 0);
            for (place, shown) in [SHOWN[one], SHOWN[other]].into_iter().enumerate() {
                let requirement = DEPENDENCIES[place].0;
                let (transition, model) = expected(models[place], shown, day);
                // A first run tells what is open, and remembers what is over.
                let transition = transition.filter(|_| index > 0 || shown == Shown::Refused);
                let of = |id: &Option<String>| id.as_deref() == Some(requirement);
                let told: Vec<Transition> =
                    changes.list.iter().filter(|c| of(&c.finding.subject.requirement)).map(|c| c.transition).collect();
                prop_assert_eq!(&told, &transition.into_iter().collect::<Vec<_>>(), "run {} {}", index, requirement);
                let kept: Vec<Standing> =
                    next.findings.iter().filter(|f| of(&f.subject.requirement)).map(|f| f.standing).collect();
                prop_assert_eq!(&kept, &model.iter().map(|(standing, _)| *standing).collect::<Vec<_>>());
                models[place] = model;
            }
            let saved = serde_json::to_string(&next).expect("encodes");
            history = serde_json::from_str(&saved).expect("decodes");
            prop_assert_eq!(&history, &next);
        }
        Ok(())
    });
    checked.unwrap_or_else(|failed| panic!("{failed}"));
}

/// Moves all times of an analysis.
fn move_by(analysis: &mut Analysis, ms: i64) {
    let moved = |time: &mut Option<Timestamp>| {
        if let Some(time) = time {
            time.0 += ms;
        }
    };
    for found in &mut analysis.findings {
        let times = &mut found.times;
        [&mut times.first_denied, &mut times.last_denied].into_iter().for_each(moved);
        [&mut times.last_allowed_before, &mut times.first_allowed_after].into_iter().for_each(moved);
    }
    for row in &mut analysis.coverage {
        [&mut row.first_flow, &mut row.last_flow].into_iter().for_each(moved);
    }
}

#[test]
fn what_was_proven_stays_proven() {
    let runtime = Runtime::new().expect("a runtime");
    let refused = analyse(&runtime, &[Shown::Refused, Shown::Allowed]);
    let mut first = refused.clone();
    first.findings[0].grade.severity = Severity::Critical;
    first.findings[0].times.last_allowed_before = Some(Timestamp(1));
    let (_, history) = compare(&History::new(), &mut first, 0);
    // The next run sees less, and nothing that is better.
    let mut second = refused.clone();
    second.findings[0].grade.severity = Severity::Low;
    second.status.exit = 0;
    let (changes, history) = compare(&history, &mut second, DAY);
    assert_eq!(changes.list[0].transition, Transition::Continuing);
    let found = &second.findings[0];
    assert_eq!(found.grade.severity, Severity::Critical);
    assert_eq!((found.times.last_allowed_before, found.meaning.worked_before), (Some(Timestamp(1)), Some(true)));
    assert_eq!((second.status.exit, second.causes[0].max_severity), (1, Severity::Critical));
    // Flows after the last refusal are a reason to think better of it.
    let mut third = refused.clone();
    third.findings[0].grade.severity = Severity::Low;
    third.findings[0].times.first_allowed_after = third.findings[0].times.last_denied;
    let (changes, _) = compare(&history, &mut third, 2 * DAY);
    let change = &changes.list[0];
    assert_eq!((change.transition, change.severity_before), (Transition::Improved, Some(Severity::Critical)));
    // Worse is told at once.
    let mut fourth = refused;
    fourth.findings[0].grade.severity = Severity::Critical;
    let (_, low) = compare(&History::new(), &mut third, 0);
    let (changes, _) = compare(&low, &mut fourth, DAY);
    assert_eq!(changes.list[0].transition, Transition::Worsened);
    assert_eq!(changes.exit(&fourth), 1);
}

#[test]
fn a_run_that_could_not_tell_resolves_nothing() {
    let runtime = Runtime::new().expect("a runtime");
    let (_, history) = compare(&History::new(), &mut analyse(&runtime, &[Shown::Refused, Shown::Allowed]), 0);
    let allowed = analyse(&runtime, &[Shown::Allowed, Shown::Allowed]);
    type Spoil = fn(&mut Analysis);
    let spoils: [(&str, Spoil); 3] = [
        ("partial", |analysis| analysis.status.partial = true),
        ("exit 3", |analysis| analysis.status.exit = 3),
        ("no flow", |analysis| analysis.input.tuples_in_scope = 0),
    ];
    for (what, spoil) in spoils {
        let mut analysis = allowed.clone();
        move_by(&mut analysis, DAY);
        spoil(&mut analysis);
        let (changes, _) = compare(&history, &mut analysis, DAY);
        assert_eq!(changes.list[0].transition, Transition::LostSight, "{what}");
    }
    // A finding that is over stays open as well, because what was not read may hold a later refusal.
    for (exit, expected) in [(3, Standing::Open), (0, Standing::Resolved)] {
        let mut mended = analyse(&runtime, &[Shown::Mended, Shown::Allowed]);
        move_by(&mut mended, DAY);
        mended.status.exit = exit;
        let (changes, next) = compare(&history, &mut mended, DAY);
        assert_eq!(next.findings[0].standing, expected, "exit {exit}");
        assert_eq!(changes.list[0].transition == Transition::Resolved, exit == 0, "exit {exit}");
    }
    let mut whole = allowed.clone();
    move_by(&mut whole, DAY);
    assert_eq!(compare(&history, &mut whole, DAY).0.list[0].transition, Transition::Resolved);
    // Flows from before the last refusal show nothing.
    let mut earlier = allowed;
    move_by(&mut earlier, -DAY);
    assert_eq!(compare(&history, &mut earlier, DAY).0.list[0].transition, Transition::LostSight);
}

#[test]
fn another_name_for_the_same_continues() {
    let runtime = Runtime::new().expect("a runtime");
    let refused = analyse(&runtime, &[Shown::Refused, Shown::Allowed]);
    let (_, history) = compare(&History::new(), &mut refused.clone(), 0);
    let renamed = |change: fn(&mut flowgap::findings::Finding)| {
        let mut analysis = refused.clone();
        let found = &mut analysis.findings[0];
        found.identity.fingerprint = "0123456789abcdef".to_owned();
        found.identity.id = "F-01234567".to_owned();
        change(found);
        let changes = compare(&history, &mut analysis, DAY).0.list;
        let mut told: Vec<(Transition, Option<String>)> =
            changes.into_iter().map(|change| (change.transition, change.identity_changed)).collect();
        told.sort_by_key(|(transition, _)| *transition);
        told
    };
    let before = Some(refused.findings[0].identity.id.clone());
    assert_eq!(renamed(|_| {}), [(Transition::Continuing, before.clone())]);
    assert_eq!(renamed(|found| found.subject.subnet = "10.20.0.0/16".to_owned()), [(Transition::Continuing, before)]);
    let other = [(Transition::New, None), (Transition::LostSight, None)];
    assert_eq!(renamed(|found| found.subject.subnet = "10.20.2.0/24".to_owned()), other);
    assert_eq!(renamed(|found| found.subject.requirement = Some("APIM-OUT-DNS".to_owned())), other);
    assert_eq!(renamed(|found| found.blame.acl = Some("/other".to_owned())), other);
}

#[test]
fn a_suppression_holds_under_another_name_until_it_ends() {
    let runtime = Runtime::new().expect("a runtime");
    let refused = analyse(&runtime, &[Shown::Refused, Shown::Allowed]);
    let mut accepted = refused.clone();
    let held = Suppression {
        by: "s.toml, entry 1".to_owned(),
        reason: "ticket 123".to_owned(),
        owner: "platform-team".to_owned(),
        expires: Some(Timestamp(2 * DAY)),
    };
    accepted.findings[0].suppressed = Some(held.clone());
    let (_, history) = compare(&History::new(), &mut accepted, 0);
    let run = |fingerprint: &str, now: i64| {
        let mut analysis = refused.clone();
        analysis.findings[0].identity.fingerprint = fingerprint.to_owned();
        let (changes, _) = compare(&history, &mut analysis, now);
        (changes.list[0].transition, analysis.findings[0].suppressed.clone(), changes.exit(&analysis))
    };
    assert_eq!(run("0123456789abcdef", DAY), (Transition::Continuing, Some(held), 0));
    assert_eq!(run("0123456789abcdef", 2 * DAY), (Transition::SuppressionExpired, None, 1));
    // Under the same name, what the file says now counts.
    let same = refused.findings[0].identity.fingerprint.clone();
    assert_eq!(run(&same, DAY), (Transition::SuppressionExpired, None, 1));
}

#[test]
fn other_settings_begin_anew_and_tags_do_not() {
    let runtime = Runtime::new().expect("a runtime");
    let refused = analyse(&runtime, &[Shown::Refused, Shown::Refused]);
    let (first, history) = compare(&History::new(), &mut refused.clone(), 0);
    assert_eq!((first.list.len(), first.of(Transition::New).count(), first.since), (2, 2, None));
    let mut other = refused.clone();
    other.scope.subnets = vec!["10.20.1.0/25".to_owned()];
    let (changes, _) = compare(&history, &mut other, DAY);
    assert_eq!(changes.fresh.as_deref(), Some("the last run had other settings: other subnets"));
    assert_eq!(changes.of(Transition::New).count(), 2);
    let mut untagged = refused.clone();
    untagged.scope.service_tags = None;
    untagged.flowgap_version = "99.0.0".to_owned();
    assert_eq!(compare(&history, &mut untagged, DAY).0.fresh, None);
    // A first run only counts what is below the severity that fails.
    let mut analysis = refused;
    analysis.findings[1].grade.severity = Severity::Low;
    let epoch = Epoch::of(&analysis);
    let comparison =
        Comparison { now: Timestamp(0), epoch, peers_allowed: PeersAllowed::new(), fail_on: Some(Severity::High) };
    let (changes, _) = History::new().compare(&mut analysis, &comparison);
    assert_eq!((changes.list.len(), changes.summarised), (1, 1));
}
