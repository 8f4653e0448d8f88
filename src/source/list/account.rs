//! Containers that are skipped when SOURCE names a whole account. Any one of them may be missing or empty, but not
//! all.

use crate::source::error::Refusal;
use crate::source::{Source, SourceError};

/// Containers of accounts named as a whole that gave no blobs, each with its error.
#[derive(Debug, Default)]
pub struct SkippedContainers(Vec<(Source, SourceError)>);

/// A skipped container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Container as shown to the user.
    pub shown: String,
    /// True if the container exists but may not be read. The input is then incomplete.
    pub is_unreadable: bool,
    /// Reason, as a sentence.
    pub why: String,
}

impl SkippedContainers {
    /// Records an error that another container of the account may make up for. Any other error is returned.
    pub fn record(&mut self, source: &Source, error: SourceError) -> Result<(), SourceError> {
        let may_differ = match &error {
            SourceError::Store { refusal, .. } => *refusal != Refusal::Other,
            SourceError::Empty { .. } | SourceError::NotChosen { .. } => true,
            _ => false,
        };
        if source.account.is_none() || !may_differ {
            return Err(error);
        }
        self.0.push((source.clone(), error));
        Ok(())
    }

    /// Returns the skipped containers. Fails if an account has no container among the `found` names.
    pub fn finish<'a>(self, found: impl Iterator<Item = &'a str> + Clone) -> Result<Vec<Skipped>, SourceError> {
        let from_account = |source: &Source| {
            let account = source.account.as_deref().unwrap_or_default();
            found.clone().any(|shown| shown.strip_prefix(account).is_some_and(|rest| rest.starts_with('/')))
        };
        let (passed, lost): (Vec<_>, Vec<_>) = self.0.into_iter().partition(|(source, _)| from_account(source));
        // An error that the user can fix comes first.
        let weight = |error: &SourceError| match error {
            SourceError::Store { refusal: Refusal::Forbidden, .. } => 0,
            SourceError::NotChosen { .. } => 1,
            _ => 2,
        };
        match lost.into_iter().min_by_key(|(_, error)| weight(error)) {
            None => Ok(passed.into_iter().map(|(source, error)| Skipped::new(source.shown, &error)).collect()),
            Some((source, error)) => Err(of_account(source.account.unwrap_or_default(), error)),
        }
    }
}

fn of_account(account: String, error: SourceError) -> SourceError {
    match error {
        SourceError::Store { refusal: Refusal::Forbidden, .. } => error,
        SourceError::NotChosen { .. } => SourceError::NotChosen { shown: account },
        _ => SourceError::NoLogs { account },
    }
}

impl Skipped {
    fn new(shown: String, error: &SourceError) -> Self {
        let (is_unreadable, why) = match error {
            SourceError::Store { refusal: Refusal::Forbidden, reason, .. } => (true, format!("{shown}: {reason}")),
            SourceError::Store { .. } => (false, format!("there is no {shown}")),
            _ => (false, error.to_string()),
        };
        Self { shown, is_unreadable, why }
    }
}
