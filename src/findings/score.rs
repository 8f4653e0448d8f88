//! How much a finding matters. Exact: numbers are fractions until the one rounding at the end.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::names::names;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

names!(Severity { Info = "info", Low = "low", Medium = "medium", High = "high", Critical = "critical" });

/// How sure it is that the flows belong to the requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confidence {
    Confirmed,
    Likely,
    Possible,
}

names!(Confidence { Confirmed = "confirmed", Likely = "likely", Possible = "possible" });

impl Confidence {
    /// As the queries count it.
    pub(super) fn of_certainty(certainty: i64) -> Self {
        match certainty {
            3 => Self::Confirmed,
            2 => Self::Likely,
            _ => Self::Possible,
        }
    }

    fn hundredths(self) -> u128 {
        match self {
            Self::Confirmed => 100,
            Self::Likely => 85,
            Self::Possible => 60,
        }
    }
}

/// Whether it still goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    Ongoing,
    Quiet,
    Recovered,
}

names!(Activity { Ongoing = "ongoing", Quiet = "quiet", Recovered = "recovered" });

impl Activity {
    fn tenths(self) -> u128 {
        match self {
            Self::Ongoing => 10,
            Self::Quiet => 5,
            Self::Recovered => 2,
        }
    }
}

/// How much of the dependency's traffic is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    Whole,
    /// Allowed flows are not logged.
    Half,
    /// Of the last 24 hours; a floored share starts at 0.6, for some being denied is bad enough.
    Share {
        denied: i64,
        allowed: i64,
        is_floored: bool,
    },
}

impl Reach {
    /// To four decimals.
    pub fn rounded(self) -> f64 {
        let (part, whole) = self.fraction();
        half_up(part * 10_000, whole) as f64 / 10_000.0
    }

    fn fraction(self) -> (u128, u128) {
        match self {
            Self::Whole => (1, 1),
            Self::Half => (1, 2),
            Self::Share { denied, allowed, is_floored } => {
                let (denied, allowed) = (denied.max(0) as u128, allowed.max(0) as u128);
                let all = (denied + allowed).max(1);
                if is_floored { (10 * denied + 6 * allowed, 10 * all) } else { (denied, all) }
            }
        }
    }
}

impl Serialize for Reach {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.rounded())
    }
}

/// 0 to 100 in tenths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score(u32);

impl Score {
    /// 100 x impact (in thousandths) x confidence x activity x reach, rounded half up to one decimal.
    pub fn new(impact: u16, confidence: Confidence, activity: Activity, reach: Reach) -> Self {
        let (part, whole) = reach.fraction();
        let tenths = u128::from(impact) * confidence.hundredths() * activity.tenths() * part;
        Self(half_up(tenths, 1000 * whole) as u32)
    }

    pub fn severity(self) -> Severity {
        match self.0 {
            750.. => Severity::Critical,
            500.. => Severity::High,
            250.. => Severity::Medium,
            100.. => Severity::Low,
            _ => Severity::Info,
        }
    }
}

fn half_up(part: u128, whole: u128) -> u128 {
    (2 * part + whole) / (2 * whole)
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.0 / 10, self.0 % 10))
    }
}

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_half_up_once_and_grades_the_rounded_score() {
        let check = |impact, confidence, activity, reach, score: &str, severity| {
            let got = Score::new(impact, confidence, activity, reach);
            assert_eq!((got.to_string().as_str(), got.severity()), (score, severity));
        };
        use Activity::*;
        use Confidence::*;
        check(900, Confirmed, Ongoing, Reach::Whole, "90.0", Severity::Critical);
        check(900, Likely, Ongoing, Reach::Whole, "76.5", Severity::Critical);
        check(950, Possible, Quiet, Reach::Whole, "28.5", Severity::Medium);
        check(1000, Confirmed, Recovered, Reach::Half, "10.0", Severity::Low);
        // 100 x 0.9 x 0.85 x 0.9803921... = 74.95 exactly: up, and so critical.
        let share = Reach::Share { denied: 1499, allowed: 31, is_floored: false };
        check(900, Likely, Ongoing, share, "75.0", Severity::Critical);
        check(300, Possible, Ongoing, Reach::Share { denied: 1, allowed: 3, is_floored: true }, "12.6", Severity::Low);
        check(
            300,
            Possible,
            Ongoing,
            Reach::Share { denied: 1, allowed: 99, is_floored: false },
            "0.2",
            Severity::Info,
        );
    }
}
