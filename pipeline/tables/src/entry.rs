//! A log entry as bytes: one action a line, the commit's own first.

use bytes::Bytes;
use serde::Deserialize;

use crate::action::{Action, CommitInfo};
use crate::commit::Commit;

/// `actions` as the bytes of a log entry.
///
/// # Panics
/// Never: all of an action is plain data.
#[must_use]
pub fn delta_entry(actions: &[Action]) -> Bytes {
    let mut out = Vec::with_capacity(actions.len() * 512);
    for action in actions {
        serde_json::to_writer(&mut out, action).expect("actions are plain data");
        out.push(b'\n');
    }
    out.into()
}

/// The commit that an entry of the lake's log carries. Only the line that holds it is parsed.
///
/// # Errors
/// In words, what is wrong with the entry.
pub fn parse_commit(entry: &[u8]) -> Result<Commit, String> {
    const MARK: &[u8] = br#"{"commitInfo""#;
    let line = entry
        .split(|byte| *byte == b'\n')
        .find(|line| line.starts_with(MARK))
        .ok_or("it has no commitInfo")?;
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    line.info
        .commit
        .ok_or_else(|| "its commitInfo is not one of ours".into())
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "commitInfo")]
    info: CommitInfo,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::CommitKind;
    use uuid::Uuid;

    #[test]
    fn a_commit_survives_its_entry() {
        let commit = Commit {
            generation: 3,
            nonce: Uuid::from_u128(9),
            at: 1,
            kind: CommitKind::Claim { compact: true },
            files: std::collections::BTreeMap::new(),
        };
        let info = CommitInfo {
            timestamp: 1,
            operation: "CLAIM".into(),
            engine_info: "tidegauge".into(),
            commit: Some(commit.clone()),
        };
        let bytes = delta_entry(&[Action::CommitInfo(info)]);
        assert_eq!(parse_commit(&bytes).expect("its own output"), commit);
    }

    #[test]
    fn what_is_not_ours_is_told() {
        assert_eq!(
            parse_commit(b"").expect_err("empty"),
            "it has no commitInfo"
        );
        let foreign = br#"{"commitInfo":{"timestamp":1,"operation":"WRITE","engineInfo":"x"}}"#;
        let said = parse_commit(foreign).expect_err("no commit");
        assert_eq!(said, "its commitInfo is not one of ours");
    }
}
