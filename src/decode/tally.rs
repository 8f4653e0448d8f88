//! Counts and problems of one record, collected while its tuples are read.

use super::Counts;
use super::problem::OffTime;
use super::problem::{Problem, Problems, Reason};
use super::tuple::Tuple;

/// Counts and problems of the tuples below one key of a record. Memory is bounded, regardless of the record.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Well-formed tuples inside the window.
    pub tuples: u64,
    denied: u64,
    malformed: u64,
    /// `lists` counts readable lists of tuples, `unread` the values in place of a list that could not be read.
    lists: u64,
    unread: u64,
    /// First and last time. Initially `(i64::MAX, i64::MIN)`.
    times: (i64, i64),
    /// True once a well-formed tuple was outside the window.
    has_others: bool,
    /// Tuples with an implausible time and no other fault, per [`OffTime`]. Included in `malformed`.
    off: [u64; OffTime::COUNT],
    off_problems: Problems,
    /// Problems of all other malformed tuples, and of unread lists.
    problems: Problems,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            tuples: 0,
            denied: 0,
            malformed: 0,
            lists: 0,
            unread: 0,
            times: (i64::MAX, i64::MIN),
            has_others: false,
            off: [0; OffTime::COUNT],
            off_problems: Problems::default(),
            problems: Problems::default(),
        }
    }
}

impl Tally {
    /// Counts a well-formed tuple inside the window.
    #[inline(always)]
    pub fn add(&mut self, tuple: &Tuple) {
        self.tuples += 1;
        self.denied += u64::from(tuple.code.decision());
        self.times = (self.times.0.min(tuple.time), self.times.1.max(tuple.time));
    }

    /// Records that a well-formed tuple is outside the window.
    pub fn add_outside(&mut self) {
        self.has_others = true;
    }

    /// Counts a list of tuples, or an empty list of scopes.
    pub fn add_list(&mut self) {
        self.lists += 1;
    }

    /// Returns whether any list was read.
    pub fn has_list(&self) -> bool {
        self.lists > 0
    }

    /// Counts a value that should be a list of tuples and is not.
    pub fn add_unread(&mut self, problem: Problem) {
        self.unread += 1;
        self.problems.push(problem);
    }

    /// Counts a malformed tuple.
    pub fn add_malformed(&mut self, problem: Problem) {
        self.malformed += 1;
        self.problems.push(problem);
    }

    /// Counts a tuple with an implausible time and no other fault.
    pub fn add_off(&mut self, off: OffTime, offset: u64, record: u64) {
        self.malformed += 1;
        self.off[off as usize] += 1;
        self.off_problems.push(Problem { offset, record, reason: Reason::OffTime(off) });
    }

    /// Returns counts and problems of a record that starts at `offset` and follows `record` others. The problems are
    /// sorted by offset.
    pub fn finish(self, offset: u64, record: u64) -> (Counts, Problems) {
        let mut problems = Problems::default();
        let mut count = self.malformed + self.unread;
        match self.all_off() {
            Some((off, tuples)) => {
                count = count - tuples + 1;
                problems.push(Problem { offset, record, reason: Reason::AllTimesOff(off, tuples) });
                problems.append(self.problems);
            }
            None => {
                problems.append(self.off_problems);
                problems.append(self.problems);
            }
        }
        problems.sort();
        let counts = Counts {
            bad_records: self.unread,
            tuples: self.tuples,
            denied_tuples: self.denied,
            malformed_tuples: self.malformed,
            problems: count,
            times: (self.tuples > 0).then_some(self.times),
            ..Counts::default()
        };
        (counts, problems)
    }

    /// Returns the fault that all times of the record share, and the number of tuples; `None` for fewer than two
    /// tuples.
    fn all_off(&self) -> Option<(OffTime, u64)> {
        let mut faults = [OffTime::Years, OffTime::FarFromRecord, OffTime::FarFromPath]
            .into_iter()
            .map(|off| (off, self.off[off as usize]))
            .filter(|(_, tuples)| *tuples > 0);
        let all = faults.next().filter(|(_, tuples)| *tuples > 1)?;
        let is_all = faults.next().is_none() && self.tuples == 0 && !self.has_others;
        is_all.then_some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::super::problem::KEPT_PROBLEMS;
    use super::*;

    fn reasons(tally: Tally) -> (u64, Vec<(u64, Reason)>) {
        let (counts, problems) = tally.finish(7, 0);
        (counts.problems, problems.into_vec().into_iter().map(|p| (p.offset, p.reason)).collect())
    }

    #[test]
    fn a_record_of_which_every_time_is_off_is_one_problem() {
        let far = OffTime::FarFromRecord;
        let off = |count: u64| {
            let mut tally = Tally::default();
            (0..count).for_each(|n| tally.add_off(far, 100 + n, 0));
            tally
        };
        assert_eq!(reasons(off(1)), (1, vec![(100, Reason::OffTime(far))]));
        assert_eq!(reasons(off(100_000)), (1, vec![(7, Reason::AllTimesOff(far, 100_000))]));
        // Other malformed tuples have no valid time either, and remain problems of their own.
        let mut tally = off(2);
        tally.add_malformed(Problem { offset: 50, record: 0, reason: Reason::Port });
        assert_eq!(reasons(tally), (2, vec![(7, Reason::AllTimesOff(far, 2)), (50, Reason::Port)]));
        let mut tally = off(2);
        tally.add_outside();
        tally.add_malformed(Problem { offset: 50, record: 0, reason: Reason::Port });
        let each = vec![(50, Reason::Port), (100, Reason::OffTime(far)), (101, Reason::OffTime(far))];
        assert_eq!(reasons(tally), (3, each));
        let mut tally = off(1);
        tally.add_off(OffTime::Years, 101, 0);
        assert_eq!(reasons(tally).0, 2);
    }

    #[test]
    fn problems_beyond_the_first_are_counted_only() {
        let mut tally = Tally::default();
        tally.add_outside();
        for n in 0..100_000 {
            tally.add_off(OffTime::Years, 2 * n, 0);
            tally.add_malformed(Problem { offset: 2 * n + 1, record: 0, reason: Reason::Port });
        }
        let (count, listed) = reasons(tally);
        assert_eq!((count, listed.len()), (200_000, KEPT_PROBLEMS));
        assert!(listed.iter().enumerate().all(|(nr, (offset, _))| nr as u64 == *offset));
    }
}
