//! Where the keys of a bucket come from. They never stand in settings, so they can't be printed.

use std::path::{Path, PathBuf};

use object_store::aws::AmazonS3Builder;
use serde::{Deserialize, Serialize};

use super::StoreError;

/// Where the keys of a bucket come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "from")]
pub enum Credentials {
    /// As Amazon's own programs have it: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and
    /// `AWS_SESSION_TOKEN`; else the profile `AWS_PROFILE` of `AWS_SHARED_CREDENTIALS_FILE` or
    /// `~/.aws/credentials`; else a web identity, or the role of the container or machine.
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
            Self::Environment => from_environment(&|name| std::env::var(name).ok()),
            Self::Anonymous => Ok(AmazonS3Builder::new().with_skip_signature(true)),
            Self::Profile { file, profile } => with_profile(AmazonS3Builder::new(), file, profile),
        }
    }
}

fn from_environment(
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<AmazonS3Builder, StoreError> {
    let builder = AmazonS3Builder::from_env();
    match shared_profile(variable) {
        Some((file, profile)) => with_profile(builder, &file, &profile),
        None => Ok(builder),
    }
}

/// The file and profile that the environment means; none where keys stand in the environment
/// itself, and where nothing names a profile and there is no file in the usual place.
fn shared_profile(variable: &dyn Fn(&str) -> Option<String>) -> Option<(PathBuf, String)> {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    if set("AWS_ACCESS_KEY_ID").is_some() || set("AWS_SECRET_ACCESS_KEY").is_some() {
        return None;
    }
    let (named, profile) = (set("AWS_SHARED_CREDENTIALS_FILE"), set("AWS_PROFILE"));
    let is_meant = named.is_some() || profile.is_some();
    let usual = || Some(PathBuf::from(set("HOME")?).join(".aws/credentials"));
    let file = named.map(PathBuf::from).or_else(usual)?;
    let profile = profile.unwrap_or_else(default_profile);
    let has_keys = || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        value_of(&text, &profile, "aws_access_key_id").is_some()
    };
    (is_meant || has_keys()).then_some((file, profile))
}

fn with_profile(
    builder: AmazonS3Builder,
    file: &Path,
    profile: &str,
) -> Result<AmazonS3Builder, StoreError> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let file = file.display();
        StoreError::Credentials(format!(
            "reading credentials file {file}: {error}; name another in store.credentials or \
             AWS_SHARED_CREDENTIALS_FILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ))
    })?;
    with_keys(builder, &text, file, profile)
}

fn with_keys(
    builder: AmazonS3Builder,
    text: &str,
    file: &Path,
    profile: &str,
) -> Result<AmazonS3Builder, StoreError> {
    let key = |name| value_of(text, profile, name);
    let missing = |name| {
        let file = file.display();
        StoreError::Credentials(format!("{file} has no `{name}` under `[{profile}]`"))
    };
    let id = key("aws_access_key_id").ok_or_else(|| missing("aws_access_key_id"))?;
    let secret = key("aws_secret_access_key").ok_or_else(|| missing("aws_secret_access_key"))?;
    let builder = builder
        .with_access_key_id(id)
        .with_secret_access_key(secret);
    Ok(match key("aws_session_token") {
        Some(token) => builder.with_token(token),
        None => builder,
    })
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
        let said = with_keys(AmazonS3Builder::new(), FILE, Path::new("keys"), "default")
            .expect_err("no secret");
        assert_eq!(
            said.to_string(),
            "keys has no `aws_secret_access_key` under `[default]`"
        );
    }

    #[test]
    fn keys_of_the_environment_go_before_a_profile() {
        let folder = tempfile::tempdir().expect("a folder");
        let usual = folder.path().join(".aws/credentials");
        let meant = |set: &[(&str, &str)]| {
            let home = folder.path().to_str().expect("text");
            let set = [set, &[("HOME", home)]].concat();
            shared_profile(&|name| {
                let found = set.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let of = |file: &Path, profile: &str| Some((file.to_owned(), profile.to_owned()));
        assert_eq!(meant(&[]), None, "no file in the usual place");
        assert_eq!(meant(&[("AWS_PROFILE", "lake")]), of(&usual, "lake"));
        let elsewhere = [("AWS_SHARED_CREDENTIALS_FILE", "keys")];
        assert_eq!(meant(&elsewhere), of(Path::new("keys"), "default"));
        std::fs::create_dir(folder.path().join(".aws")).expect("a folder");
        std::fs::write(&usual, FILE).expect("a file");
        assert_eq!(meant(&[]), of(&usual, "default"));
        assert_eq!(meant(&[("AWS_ACCESS_KEY_ID", "A")]), None);
    }
}
