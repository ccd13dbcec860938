//! The full state as a file, and the pointer to the newest one: where reading the log begins.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::state::LakeState;
use crate::table::Table;

/// At this level a state of thousands of files takes a few milliseconds.
const ZSTD_LEVEL: i32 = 1;

/// `state` as JSON under zstd.
///
/// # Panics
/// Never: the state is plain data and the output is memory.
#[must_use]
pub fn encode_state(state: &LakeState) -> Bytes {
    let json = serde_json::to_vec(state).expect("state is plain data");
    zstd::encode_all(&*json, ZSTD_LEVEL)
        .expect("compression to memory")
        .into()
}

/// What [`encode_state`] has written.
///
/// # Errors
/// In words, what is wrong with the bytes.
pub fn decode_state(bytes: &[u8]) -> Result<LakeState, String> {
    let json = zstd::decode_all(bytes).map_err(|error| error.to_string())?;
    serde_json::from_slice(&json).map_err(|error| error.to_string())
}

/// One full state that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateMark {
    /// The version it is of.
    pub version: u64,
    /// Wall clock when it was written, milliseconds.
    pub at: i64,
    /// At which version of each table's own log its newest Delta checkpoint stands, if checkpoints
    /// were written with this state: entries before it may be cleaned up.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub checkpoints: BTreeMap<Table, u64>,
}

/// Names the newest full state and remembers earlier ones, oldest first, until they are cleaned up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatePointer {
    /// Full states in order of their versions; the newest is last.
    pub states: Vec<StateMark>,
}
