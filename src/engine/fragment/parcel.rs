//! Parcels: the bytes of a fragment, with the version of the program that made them. Only the same version reads them.

use bytes::Bytes;
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use serde::{Deserialize, Serialize};

use super::frame::{external, packed, unpacked};
use super::functions::Functions;
use crate::engine::scope::Scope;

/// Number of the form of fragments, tasks and frames. Each change of one of them raises it.
const FORMAT: u32 = 1;
const MAGIC: &str = "flowgap-fragment";

/// A fragment as it travels.
#[derive(Debug, Clone, PartialEq)]
pub struct Parcel {
    /// Functions that the plan calls, and settings of its session.
    pub session: ParcelSession,
    /// The plan, in DataFusion's form.
    pub plan: Bytes,
}

/// Session of a fragment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParcelSession {
    /// Functions that the plan may call.
    pub functions: Functions,
    /// Scope of the functions; `None` if none of them needs it.
    pub scope: Option<Scope>,
    /// Settings that differ from the defaults, by name.
    pub settings: Vec<(String, String)>,
    /// URL of the store of the input, without any credential.
    pub store: String,
}

impl Parcel {
    /// Returns the bytes.
    pub fn encode(&self, version: &str) -> Result<Bytes> {
        let session = serde_json::to_vec(&self.session).map_err(external)?;
        let length = u64::try_from(session.len()).unwrap_or(u64::MAX);
        let body = packed(&[&length.to_le_bytes(), session.as_slice(), &self.plan].concat())?;
        Ok([format!("{MAGIC} {FORMAT} {version}\n").as_bytes(), &body].concat().into())
    }

    /// Reads the bytes. Fails if another version than `version` made them.
    pub fn decode(bytes: &[u8], version: &str) -> Result<Self> {
        let other = || exec_datafusion_err!("a task that is not flowgap's");
        let end = bytes.iter().take(200).position(|byte| *byte == b'\n').ok_or_else(other)?;
        let (head, body) = bytes.split_at(end);
        let head = std::str::from_utf8(head).map_err(|_| other())?;
        let rest = head.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(' ')).ok_or_else(other)?;
        let (format, made_by) = rest.split_once(' ').ok_or_else(other)?;
        if made_by != version || format != FORMAT.to_string() {
            return exec_err!(
                "this executor is flowgap {version} (format {FORMAT}), and the command is flowgap {made_by} (format {format}): run the same version everywhere"
            );
        }
        let body = unpacked(body.get(1..).unwrap_or_default())?;
        let (length, rest) = body.split_first_chunk::<8>().ok_or_else(other)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| other())?;
        let (session, plan) = rest.split_at_checked(length).ok_or_else(other)?;
        let session = serde_json::from_slice(session).map_err(external)?;
        Ok(Self { session, plan: Bytes::copy_from_slice(plan) })
    }
}

/// Version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
