//! Compares an analysis with what is remembered of earlier ones, as in contract section 6.2: what is new, worse, back,
//! over, or out of sight. Knows no files and no receivers.

mod evidence;
mod pairing;
mod peers;
mod remembered;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use peers::PeersAllowed;
pub use remembered::{Epoch, History, Remembered, Standing};

use super::analysis::Analysis;
use super::model::Finding;
use super::score::Severity;
use crate::names::names;
use crate::time::{DAY, Timestamp};

/// Time for which a finding that is over or out of sight is remembered, in ms.
pub const REMEMBERED: i64 = 30 * DAY;

/// What became of a finding since the last run. Variants are in the order in which reports list them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transition {
    /// It was never seen, or not in the last 30 days.
    New,
    /// It is more severe than before.
    Worsened,
    /// It was over and is back.
    Reopened,
    /// It is as before, but it is no longer accepted.
    SuppressionExpired,
    /// The dependency works again.
    Resolved,
    /// It is less severe than before, and the logs show why.
    Improved,
    /// It is absent, and nothing shows that the dependency works.
    LostSight,
    /// It was out of sight for 30 days, so it is no longer remembered.
    Forgotten,
    /// It is as before.
    Continuing,
}

names!(Transition {
    New = "new",
    Worsened = "worsened",
    Reopened = "reopened",
    SuppressionExpired = "suppression-expired",
    Resolved = "resolved",
    Improved = "improved",
    LostSight = "lost-sight",
    Forgotten = "forgotten",
    Continuing = "continuing",
});

impl Transition {
    /// Returns whether the finding is a reason to act now that was none before.
    pub fn is_alarm(self) -> bool {
        matches!(self, Self::New | Self::Worsened | Self::Reopened | Self::SuppressionExpired)
    }
}

/// What became of one finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// What became of it.
    pub transition: Transition,
    /// The finding, as it is remembered from now on; as it was, if it is forgotten.
    #[serde(flatten)]
    pub finding: Remembered,
    /// Severity at the last run; null if it was not remembered.
    pub severity_before: Option<Severity>,
    /// Id under which it was remembered, if it is another one now; null otherwise.
    pub identity_changed: Option<String>,
}

impl Change {
    /// Returns whether the change counts for the exit status and for alerts.
    pub fn is_alarm(&self) -> bool {
        self.transition.is_alarm() && self.finding.suppressed.is_none()
    }
}

/// Result of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// Time of the run that the analysis is compared with; null in the first run of an epoch.
    pub since: Option<Timestamp>,
    /// Why nothing is compared, in words; null if an earlier run is.
    pub fresh: Option<String>,
    /// Number of findings below the severity that fails a run, which a first run only counts.
    pub summarised: u64,
    /// One change per finding, in the order of the transitions, then the most severe first.
    pub list: Vec<Change>,
}

impl Changes {
    /// Returns the changes of one transition.
    pub fn of(&self, transition: Transition) -> impl Iterator<Item = &Change> {
        self.list.iter().filter(move |change| change.transition == transition)
    }

    /// Returns the changes that count for the exit status and for alerts.
    pub fn alarms(&self) -> impl Iterator<Item = &Change> {
        self.list.iter().filter(|change| change.is_alarm())
    }

    /// Returns whether anything differs from the last run.
    pub fn is_change(&self) -> bool {
        self.list.iter().any(|change| change.transition != Transition::Continuing)
    }

    /// Returns the exit status of `analysis` if only alarms count as findings.
    pub fn exit(&self, analysis: &Analysis) -> u8 {
        let fails = |change: &Change| analysis.status.fail_on.is_some_and(|least| change.finding.severity >= least);
        match analysis.status.exit {
            0 | 1 if self.alarms().any(fails) => 1,
            // Without the findings of earlier runs, the doubts that they hid count.
            1 if analysis.has_doubts() => 3,
            1 => 0,
            other => other,
        }
    }
}

/// Conditions of a comparison.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Time of this run.
    pub now: Timestamp,
    /// What the user set; a change of it begins a new epoch.
    pub epoch: Epoch,
    /// Last flows of the peers of findings that name no requirement, by fingerprint. Empty if the logs are not at hand.
    pub peers_allowed: PeersAllowed,
    /// Severity from which a first run reports findings one by one; `None` for all.
    pub fail_on: Option<Severity>,
}

impl History {
    /// Compares an analysis with this history. Returns the changes and the history to keep.
    ///
    /// What was proven stays proven: severity and last success of `analysis` are raised to what is remembered
    /// unless the logs of this run show that it is better.
    pub fn compare(&self, analysis: &mut Analysis, comparison: &Comparison) -> (Changes, Self) {
        match self.breach(&comparison.epoch) {
            Some(reason) => self.begin(reason, analysis, comparison),
            None => self.go_on(analysis, comparison),
        }
    }

    /// Returns why the history says nothing about an analysis of `epoch`; `None` if it does.
    fn breach(&self, epoch: &Epoch) -> Option<String> {
        match &self.epoch {
            None => Some("this is the first run".to_owned()),
            Some(known) => known.difference(epoch),
        }
    }

    fn begin(&self, reason: String, analysis: &Analysis, comparison: &Comparison) -> (Changes, Self) {
        let found: Vec<Remembered> = analysis.findings.iter().map(|found| comparison.remember(found)).collect();
        let (told, counted): (Vec<_>, Vec<_>) = found
            .iter()
            .filter(|found| found.standing == Standing::Open)
            .partition(|found| comparison.fail_on.is_none_or(|least| found.severity >= least));
        let change = |finding: Remembered| Change {
            transition: Transition::New,
            finding,
            severity_before: None,
            identity_changed: None,
        };
        let summarised = counted.len() as u64;
        let list = told.into_iter().cloned().map(change).collect();
        let changes = Changes { since: None, fresh: Some(reason), summarised, list }.in_order();
        (changes, self.next(found, analysis, comparison))
    }

    fn go_on(&self, analysis: &mut Analysis, comparison: &Comparison) -> (Changes, Self) {
        let can_tell = evidence::can_tell(analysis);
        let pairs = pairing::pairs(&self.findings, &analysis.findings);
        let mut rest: BTreeMap<&str, &Remembered> =
            self.findings.iter().map(|known| (known.fingerprint.as_str(), known)).collect();
        let mut list = Vec::new();
        for (found, known) in analysis.findings.iter_mut().zip(&pairs) {
            let known = known.and_then(|index| self.findings.get(index));
            if let Some(known) = known {
                rest.remove(known.fingerprint.as_str());
                known.carry(found, comparison.now);
            }
            list.push(comparison.present(found, known, can_tell));
        }
        analysis.update_causes();
        analysis.settle_status();
        let worked = evidence::Evidence::of(analysis, can_tell);
        list.extend(rest.into_values().map(|known| comparison.absent(known, &worked)));
        let kept = list.iter().filter(|change| change.transition != Transition::Forgotten);
        let is_kept = |found: &Remembered| found.last_seen == comparison.now || !comparison.is_stale(found);
        let kept = kept.filter(|change| is_kept(&change.finding)).map(|change| change.finding.clone());
        let next = self.next(kept.collect(), analysis, comparison);
        let since = Some(self.last_run);
        // What is over and absent was told before.
        list.retain(|change| change.transition != Transition::Continuing || change.finding.last_seen == comparison.now);
        (Changes { since, fresh: None, summarised: 0, list }.in_order(), next)
    }

    fn next(&self, mut findings: Vec<Remembered>, analysis: &Analysis, comparison: &Comparison) -> Self {
        findings.sort_unstable_by(|a, b| a.fingerprint.cmp(&b.fingerprint));
        findings.dedup_by(|a, b| a.fingerprint == b.fingerprint);
        let epoch = Some(comparison.epoch.clone());
        let proven_mode = remembered::proven_mode(analysis);
        Self { run: self.run + 1, epoch, last_run: comparison.now, proven_mode, findings }
    }
}

impl Comparison {
    fn remember(&self, found: &Finding) -> Remembered {
        Remembered::of(found, self.now)
    }

    /// Returns the change of a finding of this run. A run that cannot tell resolves nothing.
    fn present(&self, found: &Finding, known: Option<&Remembered>, can_tell: bool) -> Change {
        let mut finding = self.remember(found);
        let was_over = known.is_some_and(|known| known.standing == Standing::Resolved);
        if !can_tell && !was_over {
            finding.standing = Standing::Open;
        }
        let Some(known) = known else {
            return Change { transition: Transition::New, finding, severity_before: None, identity_changed: None };
        };
        let is_open = finding.standing == Standing::Open;
        let was_accepted = known.suppressed.is_some() && finding.suppressed.is_none();
        let transition = match known.standing {
            Standing::Resolved if is_open && self.is_stale(known) => Transition::New,
            Standing::Resolved if is_open => Transition::Reopened,
            Standing::Resolved => Transition::Continuing,
            _ if !is_open => Transition::Resolved,
            _ if finding.severity > known.severity => Transition::Worsened,
            _ if is_open && was_accepted => Transition::SuppressionExpired,
            _ if finding.severity < known.severity => Transition::Improved,
            _ => Transition::Continuing,
        };
        finding.first_seen = known.first_seen;
        if finding.standing == known.standing {
            finding.since = known.since;
        }
        let is_other = known.fingerprint != finding.fingerprint;
        Change {
            transition,
            finding,
            severity_before: Some(known.severity),
            identity_changed: is_other.then(|| known.id.clone()),
        }
    }

    /// Returns the change of a finding that this run did not make.
    fn absent(&self, known: &Remembered, worked: &evidence::Evidence) -> Change {
        let mut finding = known.clone();
        let standing = match known.standing {
            Standing::Resolved => Standing::Resolved,
            _ if worked.shows(known, &self.peers_allowed) => Standing::Resolved,
            _ => Standing::OutOfSight,
        };
        let transition = match (known.standing, standing) {
            (Standing::OutOfSight, Standing::OutOfSight) if self.is_stale(known) => Transition::Forgotten,
            (before, after) if before == after => Transition::Continuing,
            (_, Standing::Resolved) => Transition::Resolved,
            _ => Transition::LostSight,
        };
        if standing != known.standing {
            (finding.standing, finding.since) = (standing, self.now);
        }
        Change { transition, finding, severity_before: Some(known.severity), identity_changed: None }
    }

    /// Returns whether a finding has been over or out of sight for so long that it is no longer remembered.
    fn is_stale(&self, known: &Remembered) -> bool {
        known.standing != Standing::Open && self.now.0.saturating_sub(known.since.0) >= REMEMBERED
    }
}

impl Changes {
    fn in_order(mut self) -> Self {
        self.list.sort_by(|a, b| {
            let key = |change: &Change| (change.transition, std::cmp::Reverse(change.finding.severity));
            key(a).cmp(&key(b)).then_with(|| a.finding.fingerprint.cmp(&b.finding.fingerprint))
        });
        self
    }
}
