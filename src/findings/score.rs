//! Computes scores of findings. Numbers are exact fractions until the one rounding at the end.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::decimal::Decimal;

use crate::names::names;

/// Severity of a finding, the lowest first. A cap may lower it below the severity of the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Scores below 10.
    Info,
    /// Scores from 10.
    Low,
    /// Scores from 25.
    Medium,
    /// Scores from 50.
    High,
    /// Scores from 75.
    Critical,
}

names!(Severity { Info = "info", Low = "low", Medium = "medium", High = "high", Critical = "critical" });

/// Confidence that the flows belong to the requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confidence {
    /// The address proves it, or the port and direction. Counts as 1.
    Confirmed,
    /// No other requirement uses the port, but nothing confirms the address. Counts as 0.85.
    Likely,
    /// Other traffic shares the port. Counts as 0.6.
    Possible,
}

names!(Confidence { Confirmed = "confirmed", Likely = "likely", Possible = "possible" });

impl Confidence {
    /// Returns the confidence of a certainty as the queries count it, from 1 to 3.
    pub(super) fn of_certainty(certainty: i64) -> Option<Self> {
        match certainty {
            3 => Some(Self::Confirmed),
            2 => Some(Self::Likely),
            1 => Some(Self::Possible),
            _ => None,
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

/// Whether the refusals or missing answers continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// They continue. Counts as 1.
    Ongoing,
    /// No flow was seen in the last 24 hours of the subnet. Counts as 0.5.
    Quiet,
    /// Flows get through again. Counts as 0.2.
    Recovered,
}

names!(State { Ongoing = "ongoing", Quiet = "quiet", Recovered = "recovered" });

impl State {
    fn tenths(self) -> u128 {
        match self {
            Self::Ongoing => 10,
            Self::Quiet => 5,
            Self::Recovered => 2,
        }
    }
}

/// Share of the dependency's traffic that is denied or gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// All of it.
    Whole,
    /// One half, because allowed flows are not logged.
    Half,
    /// Share by counts. A floored share starts at 0.6, because even a part that is denied is severe.
    Share {
        /// Tuples that are denied or get no answer.
        denied: i64,
        /// Tuples that get through.
        allowed: i64,
        /// Whether the share starts at 0.6.
        is_floored: bool,
    },
}

impl Reach {
    /// Returns the share, rounded half up to four decimals.
    pub fn rounded(self) -> Decimal<10_000> {
        let (part, whole) = self.fraction();
        Decimal::new(half_up(part * 10_000, whole) as u32)
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

/// Score of a finding, from 0 to 100 in tenths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Score(Decimal<10>);

impl Score {
    /// Returns 100 x impact (in thousandths) x confidence x state x reach, rounded half up to one decimal.
    pub fn new(impact: u16, confidence: Confidence, state: State, reach: Reach) -> Self {
        let (part, whole) = reach.fraction();
        let tenths = u128::from(impact) * confidence.hundredths() * state.tenths() * part;
        Self(Decimal::new(half_up(tenths, 1000 * whole) as u32))
    }

    /// Returns the score as a number from 0 to 100.
    pub fn value(self) -> f64 {
        self.0.value()
    }

    /// Returns the severity that follows from the score alone.
    pub fn severity(self) -> Severity {
        match self.0.units() {
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
        let tenths = self.0.units();
        f.pad(&format!("{}.{}", tenths / 10, tenths % 10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_half_up_once_and_grades_the_rounded_score() {
        let check = |impact, confidence, state, reach, score: &str, severity| {
            let got = Score::new(impact, confidence, state, reach);
            assert_eq!((got.to_string().as_str(), got.severity()), (score, severity));
        };
        use Confidence::*;
        use State::*;
        check(900, Confirmed, Ongoing, Reach::Whole, "90.0", Severity::Critical);
        check(900, Likely, Ongoing, Reach::Whole, "76.5", Severity::Critical);
        check(950, Possible, Quiet, Reach::Whole, "28.5", Severity::Medium);
        check(1000, Confirmed, Recovered, Reach::Half, "10.0", Severity::Low);
        // 100 x 0.9 x 0.85 x 0.9803921... is exactly 74.95, which rounds up and becomes critical.
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
