//! Containers of an account that give nothing. Each of them may, as long as another one of the account gives something.

use crate::source::error::Refusal;
use crate::source::{Source, SourceError};

/// What an account that was named without a container did not give.
#[derive(Debug, Default)]
pub struct Missed(Vec<(Source, SourceError)>);

/// A container that was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    pub shown: String,
    /// Without it, the input is not whole: it is there, and may not be read.
    pub is_lost: bool,
    /// In a sentence.
    pub why: String,
}

impl Missed {
    /// Keeps what another container of the account may make up for, and gives back what nothing can.
    pub fn keep(&mut self, source: &Source, error: SourceError) -> Result<(), SourceError> {
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

    /// What was passed over. An error, where nothing of an account is among what `found` shows.
    pub fn settle<'a>(self, found: impl Iterator<Item = &'a str> + Clone) -> Result<Vec<Passed>, SourceError> {
        let is_found = |source: &Source| {
            let account = source.account.as_deref().unwrap_or_default();
            found.clone().any(|shown| shown.strip_prefix(account).is_some_and(|rest| rest.starts_with('/')))
        };
        let (passed, lost): (Vec<_>, Vec<_>) = self.0.into_iter().partition(|(source, _)| is_found(source));
        // Of several reasons, the one that something can be done about.
        let weight = |error: &SourceError| match error {
            SourceError::Store { refusal: Refusal::Forbidden, .. } => 0,
            SourceError::NotChosen { .. } => 1,
            _ => 2,
        };
        match lost.into_iter().min_by_key(|(_, error)| weight(error)) {
            None => Ok(passed.into_iter().map(|(source, error)| Passed::new(source.shown, &error)).collect()),
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

impl Passed {
    fn new(shown: String, error: &SourceError) -> Self {
        let (is_lost, why) = match error {
            SourceError::Store { refusal: Refusal::Forbidden, way_out, .. } => (true, format!("{shown}: {way_out}")),
            SourceError::Store { .. } => (false, format!("there is no {shown}")),
            _ => (false, error.to_string()),
        };
        Self { shown, is_lost, why }
    }
}
