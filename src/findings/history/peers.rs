//! Shows which peers of remembered findings are allowed again, for findings that name no requirement.

use std::collections::HashMap;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use super::pairing::is_nested;
use super::remembered::{History, Remembered, Standing};
use crate::engine::{Session, SessionError};
use crate::flow::ScopeDirection;
use crate::queries;
use crate::time::Timestamp;

/// Time of the last new allowed flow of the finding's peers and ports, by fingerprint.
pub type PeersAllowed = HashMap<String, Timestamp>;

impl History {
    /// Returns the last new allowed flow of the peers of each open finding without requirement and candidates. To be
    /// called after the analysis of the session.
    pub async fn peers_allowed(&self, session: &Session) -> Result<PeersAllowed, SessionError> {
        let nameless: Vec<&Remembered> = self.findings.iter().filter(|known| is_nameless(known)).collect();
        if nameless.is_empty() {
            return Ok(PeersAllowed::new());
        }
        let mut peers: Vec<&String> = nameless.iter().flat_map(|known| &known.peers).collect();
        peers.sort_unstable();
        peers.dedup();
        let peers: Vec<ScalarValue> = peers.into_iter().map(|peer| ScalarValue::from(peer.as_str())).collect();
        let peers = ScalarValue::List(ScalarValue::new_list_nullable(&peers, &DataType::Utf8));
        session.materialize(queries::PEERS_ALLOWED, vec![("peers", peers)]).await?;
        let rows = session.materialized(queries::PEERS_ALLOWED).await?;
        let mut allowed = PeersAllowed::new();
        for row in rows.rows() {
            let (peer, subnet, protocol) = (row.text("peer")?, row.text_or_null("subnet")?, row.text("protocol")?);
            let (port, direction): (u16, ScopeDirection) = (row.int("port")?, row.named("direction")?);
            let Some(last) = row.time_or_null("last")? else { continue };
            let is_of = |known: &&&Remembered| {
                let subject = &known.subject;
                subject.direction == direction
                    && subnet.as_ref().is_some_and(|subnet| is_nested(subnet, &subject.subnet))
                    && (subject.ports.is_empty() || subject.ports.contains(&port))
                    && subject.protocol.split('+').any(|name| name == protocol)
                    && known.peers.contains(&peer)
            };
            for known in nameless.iter().filter(is_of) {
                let known = allowed.entry(known.fingerprint.clone()).or_insert(last);
                *known = last.max(*known);
            }
        }
        Ok(allowed)
    }
}

fn is_nameless(known: &Remembered) -> bool {
    let subject = &known.subject;
    known.standing != Standing::Resolved && subject.requirement.is_none() && subject.candidates.is_empty()
}
