//! A document of which every text was rewritten, through its JSON form, so that no text is forgotten.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Document;
use crate::findings::Analysis;
use crate::findings::history::Changes;

/// An analysis, and what changed since an earlier one.
#[derive(Serialize, Deserialize)]
pub struct Rewritten {
    /// The analysis.
    #[serde(flatten)]
    pub analysis: Analysis,
    /// What changed; null without a comparison.
    pub changes: Option<Changes>,
}

impl Rewritten {
    /// Returns a document after `rewrite` changed its JSON.
    pub fn of(document: &Document, rewrite: impl FnOnce(&mut Value)) -> serde_json::Result<Self> {
        let mut value = serde_json::to_value(document.analysis)?;
        if let (Some(parts), Some(changes)) = (value.as_object_mut(), document.changes) {
            parts.insert("changes".to_owned(), serde_json::to_value(changes)?);
        }
        rewrite(&mut value);
        serde_json::from_value(value)
    }

    /// Returns the document.
    pub fn document(&self) -> Document<'_> {
        Document { analysis: &self.analysis, changes: self.changes.as_ref() }
    }
}
