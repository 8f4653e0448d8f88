//! Finds interfaces whose logs stopped. A flow log that is dead looks like health.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::{Session, SessionError};
use crate::queries;
use crate::source::BlobPath;
use crate::time::{HOUR, Timestamp};

/// Newest hour of logs of each interface, by its MAC address; empty for logs whose paths name none.
pub type NewestHours = BTreeMap<String, Timestamp>;

/// Returns the newest hour of each interface of the scope, from the names of the blobs. To be called after the analysis
/// of the session.
pub async fn newest_hours(session: &Session) -> Result<NewestHours, SessionError> {
    let interfaces = session.materialized(queries::INTERFACES).await?;
    let macs: BTreeSet<String> =
        interfaces.rows().filter_map(|row| row.text_or_null("mac").transpose()).collect::<Result<_, _>>()?;
    let mut newest = NewestHours::new();
    for location in session.locations() {
        let Some(path) = BlobPath::parse(&location) else { continue };
        let mac = path.mac.map(|mac| mac.to_uppercase()).unwrap_or_default();
        if mac.is_empty() || macs.contains(&mac) {
            let hour = newest.entry(mac).or_insert(Timestamp(path.hour));
            *hour = (*hour).max(Timestamp(path.hour));
        }
    }
    Ok(newest)
}

/// Returns the interfaces without logs for longer than `most` ms at `now`, each with a sentence.
pub fn silent(newest: &NewestHours, now: Timestamp, most: i64) -> BTreeMap<String, String> {
    let since = |hour: &Timestamp| now.0 - hour.0.saturating_add(HOUR);
    newest
        .iter()
        .filter(|(_, hour)| since(hour) > most)
        .map(|(mac, hour)| {
            let from = if mac.is_empty() { "the source".to_owned() } else { mac.clone() };
            let end = Timestamp(hour.0 + HOUR).minute();
            let hours = since(hour) / HOUR;
            (mac.clone(), format!("no new logs for {hours} hours from {from}: the newest end at {end}"))
        })
        .collect()
}
