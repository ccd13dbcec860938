//! Where the keys of a bucket come from. They never stand in settings, so they can't be printed.

use std::path::{Path, PathBuf};

use object_store::aws::AmazonS3Builder;
use serde::{Deserialize, Serialize};

use super::StoreError;

/// Where the keys of a bucket come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "from")]
pub enum Credentials {
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, a web identity, or the
    /// role of the container or machine.
    #[default]
    Environment,
    /// A profile of a file in the form of `~/.aws/credentials`.
    Profile {
        /// The file.
        file: PathBuf,
        /// The name in brackets.
        #[serde(default = "default_profile")]
        profile: String,
    },
    /// None: a public bucket, or a server that asks for none.
    Anonymous,
}

fn default_profile() -> String {
    "default".into()
}

impl Credentials {
    pub(super) fn builder(&self) -> Result<AmazonS3Builder, StoreError> {
        match self {
            Self::Environment => Ok(AmazonS3Builder::from_env()),
            Self::Anonymous => Ok(AmazonS3Builder::new().with_skip_signature(true)),
            Self::Profile { file, profile } => {
                let text = std::fs::read_to_string(file).map_err(|error| {
                    let file = file.display();
                    StoreError::Credentials(format!("reading credentials file {file}: {error}"))
                })?;
                from_profile(&text, file, profile)
            }
        }
    }
}

fn from_profile(text: &str, file: &Path, profile: &str) -> Result<AmazonS3Builder, StoreError> {
    let key = |name| value_of(text, profile, name);
    let missing = |name| {
        let file = file.display();
        StoreError::Credentials(format!("{file} has no `{name}` under `[{profile}]`"))
    };
    let id = key("aws_access_key_id").ok_or_else(|| missing("aws_access_key_id"))?;
    let secret = key("aws_secret_access_key").ok_or_else(|| missing("aws_secret_access_key"))?;
    let mut builder = AmazonS3Builder::new()
        .with_access_key_id(id)
        .with_secret_access_key(secret);
    if let Some(token) = key("aws_session_token") {
        builder = builder.with_token(token);
    }
    Ok(builder)
}

/// The value of `name` under `[profile]` of an INI file.
fn value_of<'a>(text: &'a str, profile: &str, name: &str) -> Option<&'a str> {
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            let section = section.trim();
            inside = section.strip_prefix("profile ").unwrap_or(section).trim() == profile;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| inside)
            && key.trim() == name
        {
            return Some(value.trim());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[default]\naws_access_key_id = A\n# note\n[profile lake]\n\
                        aws_access_key_id=B\naws_secret_access_key = c=d\n";

    #[test]
    fn each_profile_has_its_own_keys() {
        assert_eq!(value_of(FILE, "default", "aws_access_key_id"), Some("A"));
        assert_eq!(value_of(FILE, "lake", "aws_access_key_id"), Some("B"));
        assert_eq!(value_of(FILE, "lake", "aws_secret_access_key"), Some("c=d"));
        assert_eq!(value_of(FILE, "other", "aws_access_key_id"), None);
    }

    #[test]
    fn a_missing_key_is_named_and_the_others_are_not_shown() {
        let said = from_profile(FILE, Path::new("keys"), "default").expect_err("no secret");
        assert_eq!(
            said.to_string(),
            "keys has no `aws_secret_access_key` under `[default]`"
        );
    }
}
