//! The state of one instance between runs.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::config::InstanceConfig;
use super::lag::NewestHours;
use super::store::{Store, StoreError, Version};
use crate::catalog::InstanceMode;
use crate::findings::history::History;
use crate::names::names;
use crate::time::Timestamp;

/// Version of a state. Reading refuses every other version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateSchema {
    /// The first version.
    V1,
}

names!(StateSchema { V1 = "flowgap.state/1" });

/// What is remembered of an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Version of the state.
    pub schema: StateSchema,
    /// Findings of the runs so far; their `run` is the number of the state.
    pub history: History,
    /// Time of the last run that could tell; null before the first.
    pub last_success: Option<Timestamp>,
    /// Newest hour of logs of each interface, as long as that is less than 30 days ago.
    pub newest: NewestHours,
    /// Errors that were told and last: `run`, or the interface that is silent.
    pub told: Vec<String>,
    /// Names of outbox entries of the run that wrote the state. Other entries were never decided on.
    pub outbox: Vec<String>,
}

/// A state that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state is not one, or of a newer version. Contains its name and the reason.
    #[error(
        "the state {0} cannot be read: {1}. If a newer flowgap wrote it, use that one; if it is damaged, move it away, and the next run is a first run"
    )]
    Damaged(String, String),
}

impl State {
    /// Returns the state before the first run.
    pub fn new() -> Self {
        Self {
            schema: StateSchema::V1,
            history: History::new(),
            last_success: None,
            newest: NewestHours::new(),
            told: Vec::new(),
            outbox: Vec::new(),
        }
    }

    /// Reads the state of an instance. Returns the first state if there is none.
    pub async fn load(store: &dyn Store, instance: &str) -> Result<(Self, Option<Version>), StateError> {
        let name = name(instance);
        let Some((bytes, version)) = store.get(&name).await? else { return Ok((Self::new(), None)) };
        let state = serde_json::from_slice(&bytes).map_err(|error| StateError::Damaged(name, error.to_string()))?;
        Ok((state, Some(version)))
    }

    /// Saves the state. Returns false if another run saved one in between.
    pub async fn save(&self, store: &dyn Store, instance: &str, before: Option<&Version>) -> Result<bool, StateError> {
        let name = name(instance);
        let bytes =
            serde_json::to_vec_pretty(self).map_err(|error| StateError::Damaged(name.clone(), error.to_string()))?;
        Ok(store.replace(&name, &bytes, before).await?)
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

fn name(instance: &str) -> String {
    format!("{instance}.state.json")
}

/// Returns the modes that earlier runs proved, by instance. A state that cannot be read is an error of its instance,
/// which comes later.
pub async fn proven_modes(store: &dyn Store, chosen: &[&InstanceConfig]) -> HashMap<String, InstanceMode> {
    let mut proven = HashMap::new();
    for instance in chosen {
        if let Ok((state, _)) = State::load(store, &instance.name).await
            && let Some(mode) = state.history.lasting_mode(&instance.subnets)
        {
            proven.insert(instance.name.clone(), mode);
        }
    }
    proven
}
