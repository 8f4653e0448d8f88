//! Suppressions: findings that somebody accepts for a time, with a reason, as in `docs/suppressions.md`.

use serde::Deserialize;
use toml::Spanned;
use toml::value::{Date, Datetime};

use super::analysis::{Analysis, Notice};
use super::model::{Finding, Kind};
use super::notice_code::NoticeCode;
use super::score::Severity;
use super::suppressed::{Suppression, last_day};
use crate::flow::ScopeDirection;
use crate::names::names;
use crate::net::Prefix;
use crate::time::{DAY, Timestamp};

/// Days before its end from which a suppression is announced.
const ENDS_SOON: i64 = 14;

/// Version of the file. Reading refuses every other version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuppressionsSchema {
    /// The first version.
    V1,
}

names!(SuppressionsSchema { V1 = "flowgap.suppressions/1" });

/// All suppressions of a file.
#[derive(Debug, Clone)]
pub struct Suppressions {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[expect(dead_code, reason = "reading it is what checks the version")]
    schema: SuppressionsSchema,
    #[serde(default)]
    suppress: Vec<Spanned<RawEntry>>,
}

/// An entry as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    id: Option<String>,
    fingerprint: Option<String>,
    requirement: Option<String>,
    rule: Option<String>,
    acl: Option<String>,
    subnet: Option<String>,
    direction: Option<ScopeDirection>,
    kind: Option<Kind>,
    remote: Option<String>,
    max_severity: Option<Severity>,
    expires: Option<Datetime>,
    #[serde(default)]
    permanent: bool,
    reason: String,
    owner: String,
}

/// An entry that was checked.
#[derive(Debug, Clone)]
struct Entry {
    suppression: Suppression,
    id: Option<String>,
    fingerprint: Option<String>,
    requirement: Option<String>,
    rule: Option<glob::Pattern>,
    acl: Option<glob::Pattern>,
    subnet: Option<Prefix>,
    direction: Option<ScopeDirection>,
    kind: Option<Kind>,
    remote: Option<Prefix>,
    max_severity: Option<Severity>,
}

/// A file of suppressions that cannot be used. The message names the file, the line and the way out.
#[derive(Debug, thiserror::Error)]
#[error("{file}{place}: {reason}")]
pub struct SuppressionsError {
    file: String,
    place: String,
    reason: String,
}

/// What the suppressions of a run did.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// Facts to tell: entries that ended, end soon or match nothing.
    pub notices: Vec<Notice>,
    /// Number of entries that match no finding although the run had evidence.
    pub unused: usize,
}

impl Suppressions {
    /// Parses the text of `file`.
    pub fn parse(file: &str, text: &str) -> Result<Self, SuppressionsError> {
        let at = |offset: usize| {
            let before = text.get(..offset).unwrap_or(text);
            let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1) + 1;
            format!(", line {}, column {column}", before.matches('\n').count() + 1)
        };
        let fault = |place: String, reason: String| SuppressionsError { file: file.to_owned(), place, reason };
        let read: File = toml::from_str(text).map_err(|error| {
            let place = error.span().map(|span| at(span.start)).unwrap_or_default();
            fault(place, error.message().to_owned())
        })?;
        let entry = |(index, entry): (usize, Spanned<RawEntry>)| {
            let place = at(entry.span().start);
            Entry::check(format!("{file}, entry {}", index + 1), entry.into_inner())
                .map_err(|reason| fault(place, reason))
        };
        let entries = read.suppress.into_iter().enumerate().map(entry).collect::<Result<_, _>>()?;
        Ok(Self { entries })
    }

    /// Marks the findings of `analysis` that a suppression holds for at `now`, and says what to know about the entries.
    ///
    /// Of several entries for one finding, the one that ends last holds. A finding that is worse than an entry accepts
    /// is not suppressed by it.
    pub fn apply(&self, analysis: &mut Analysis, now: Timestamp) -> Applied {
        let mut applied = Applied::default();
        let mut uses = vec![0_usize; self.entries.len()];
        let mut ended: Vec<(usize, String)> = Vec::new();
        for found in &mut analysis.findings {
            let fitting: Vec<usize> =
                (0..self.entries.len()).filter(|&index| self.entries[index].fits(found)).collect();
            fitting.iter().for_each(|&index| uses[index] += 1);
            let mut holding: Vec<&Suppression> = fitting
                .iter()
                .map(|&index| &self.entries[index])
                .filter(|entry| entry.max_severity.is_none_or(|most| found.grade.severity <= most))
                .map(|entry| &entry.suppression)
                .collect();
            holding.sort_by_key(|suppression| suppression.expires.map_or(i64::MAX, |time| time.0));
            match holding.last() {
                Some(last) if last.holds(now) => {
                    found.suppressed = Some((*last).clone());
                }
                Some(last) => {
                    if let Some(&index) = fitting.iter().find(|&&index| self.entries[index].suppression == **last) {
                        ended.push((index, found.identity.id.clone()));
                    }
                }
                None => {}
            }
        }
        let has_evidence = !analysis.is_empty() && !analysis.has_doubts();
        for (index, entry) in self.entries.iter().enumerate() {
            let Suppression { by, owner, expires, .. } = &entry.suppression;
            let fires: Vec<&str> =
                ended.iter().filter(|(ended, _)| *ended == index).map(|(_, id)| id.as_str()).collect();
            if let (Some(time), false) = (expires, fires.is_empty()) {
                let message = format!(
                    "{by}: suppression by {owner} expired on {}, so {} counts again",
                    last_day(*time),
                    fires.join(", ")
                );
                applied.notices.push(Notice { code: NoticeCode::SuppressionExpired, message });
            } else if uses[index] > 0
                && let Some(time) = expires.filter(|time| (0..ENDS_SOON * DAY).contains(&(time.0 - now.0)))
            {
                let message = format!("{by}: suppression by {owner} ends after {}", last_day(time));
                applied.notices.push(Notice { code: NoticeCode::SuppressionEndsSoon, message });
            } else if uses[index] == 0 && has_evidence {
                applied.unused += 1;
                let message = format!("{by}: suppression by {owner} matches no finding");
                applied.notices.push(Notice { code: NoticeCode::SuppressionUnused, message });
            }
        }
        analysis.notices.extend(applied.notices.iter().cloned());
        analysis.settle_status();
        applied
    }
}

impl Entry {
    /// Checks an entry. Returns what is wrong with it in words.
    fn check(by: String, raw: RawEntry) -> Result<Self, String> {
        let filled = |name: &str, text: &str| match text.trim() {
            "" => Err(format!("{name} is empty: write who or why, for whoever reads it next")),
            text => Ok(text.to_owned()),
        };
        let (reason, owner) = (filled("reason", &raw.reason)?, filled("owner", &raw.owner)?);
        let expires = match (raw.expires, raw.permanent) {
            (Some(_), true) => Err("expires and permanent contradict each other: keep one of them".to_owned()),
            (None, false) => Err("expires = 2026-12-31 is missing; permanent = true if it never ends".to_owned()),
            (None, true) => Ok(None),
            (Some(Datetime { date: Some(date), time: None, offset: None }), _) => end_of(date).map(Some),
            (Some(other), _) => Err(format!("expires is a day such as 2026-12-31, not {other}")),
        }?;
        let pattern = |text: Option<String>| {
            text.map(|text| glob::Pattern::new(&text).map_err(|error| format!("'{text}' is no pattern: {error}")))
                .transpose()
        };
        let prefix = |text: Option<String>| {
            text.map(|text| text.parse().map_err(|_| format!("'{text}' is no block such as 10.0.0.0/24"))).transpose()
        };
        let entry = Self {
            suppression: Suppression { by, reason, owner, expires },
            id: raw.id,
            fingerprint: raw.fingerprint,
            requirement: raw.requirement,
            rule: pattern(raw.rule)?,
            acl: pattern(raw.acl)?,
            subnet: prefix(raw.subnet)?,
            direction: raw.direction,
            kind: raw.kind,
            remote: prefix(raw.remote)?,
            max_severity: raw.max_severity,
        };
        match entry.has_matcher() {
            true => Ok(entry),
            false => Err("it would match every finding: give id, fingerprint, requirement, rule, acl, subnet, \
                          direction, kind or remote"
                .to_owned()),
        }
    }

    fn has_matcher(&self) -> bool {
        let Self { id, fingerprint, requirement, rule, acl, subnet, direction, kind, remote, .. } = self;
        [id.is_some(), fingerprint.is_some(), requirement.is_some(), rule.is_some(), acl.is_some()].contains(&true)
            || [subnet.is_some(), direction.is_some(), kind.is_some(), remote.is_some()].contains(&true)
    }

    /// Returns whether all its matchers fit. A peer outside of `remote` makes it not fit, and so do peers that the
    /// finding only counts.
    fn fits(&self, found: &Finding) -> bool {
        let Finding { identity, subject, blame, addresses, .. } = found;
        let text = |own: &Option<String>, other: &str| own.as_ref().is_none_or(|own| own == other);
        let glob = |own: &Option<glob::Pattern>, names: [Option<&str>; 2]| {
            own.as_ref().is_none_or(|own| names.into_iter().flatten().any(|name| own.matches(name)))
        };
        let listed = &addresses.remote_addresses;
        let is_inside = |remote: &Prefix| {
            listed.len() as u64 == addresses.remote_address_count
                && listed.iter().all(|peer| peer.ip.parse().is_ok_and(|ip| remote.contains(ip)))
        };
        let contains = |own: &Prefix| {
            subject
                .subnet
                .parse::<Prefix>()
                .is_ok_and(|subnet| own.first() <= subnet.first() && subnet.last() <= own.last())
        };
        text(&self.id, &identity.id)
            && text(&self.fingerprint, &identity.fingerprint)
            && self.requirement.as_ref().is_none_or(|own| subject.requirement.as_ref() == Some(own))
            && glob(&self.rule, [blame.rule.as_deref(), blame.rule_name.as_deref()])
            && glob(&self.acl, [blame.acl.as_deref(), blame.acl_name.as_deref()])
            && self.subnet.as_ref().is_none_or(contains)
            && self.direction.is_none_or(|own| own == subject.direction)
            && self.kind.is_none_or(|own| own == identity.kind)
            && self.remote.as_ref().is_none_or(is_inside)
    }
}

/// Returns the first instant after a day, in UTC.
fn end_of(day: Date) -> Result<Timestamp, String> {
    let text = format!("{:04}-{:02}-{:02}", day.year, day.month, day.day);
    Timestamp::parse_day_or_time(&text)
        .map(|midnight| Timestamp(midnight.0 + DAY))
        .ok_or_else(|| format!("there is no day {text}"))
}
