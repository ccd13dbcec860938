//! Which topics are read, and how each one's records are taken.

use std::sync::Arc;

use regex::Regex;
use tidegauge_decode::{Format, Relabel};

use crate::error::SourceError;
use crate::topic_settings::TopicSettings;

/// Names that a regex never fits: brokers' own topics and ours.
const INTERNAL: [&str; 2] = ["__", "tidegauge."];

/// The topics of the settings, compiled.
#[derive(Debug)]
pub(crate) struct Topics {
    rules: Vec<(Fits, Arc<TopicRule>)>,
}

/// How the records of a topic are taken.
#[derive(Debug)]
pub(crate) struct TopicRule {
    pub(crate) format: Format,
    pub(crate) tenant: String,
    pub(crate) lateness_ms: i64,
    pub(crate) relabel: Relabel,
}

#[derive(Debug)]
enum Fits {
    Name(Arc<str>),
    Regex(Regex),
}

impl Topics {
    pub(crate) fn new(topics: &[TopicSettings]) -> Result<Self, SourceError> {
        for (at, topic) in topics.iter().enumerate() {
            let Some(shown) = &topic.name else {
                continue;
            };
            if topics[..at].iter().any(|other| other.name == topic.name) {
                return Err(bad(format!(
                    "entry `{shown}` stands twice; the first one counts"
                )));
            }
        }
        let compile = |topic: &TopicSettings| Ok((fits(topic)?, Arc::new(rule(topic)?)));
        Ok(Self {
            rules: topics.iter().map(compile).collect::<Result<_, _>>()?,
        })
    }

    /// The rule for a topic; none if it is not read.
    pub(crate) fn rule(&self, name: &str) -> Option<&Arc<TopicRule>> {
        self.rules
            .iter()
            .find(|(fits, _)| fits.name(name))
            .map(|(_, rule)| rule)
    }

    /// The topics that are named outright.
    pub(crate) fn named(&self) -> impl Iterator<Item = &Arc<str>> {
        self.rules.iter().filter_map(|(fits, _)| match fits {
            Fits::Name(name) => Some(name),
            Fits::Regex(_) => None,
        })
    }

    /// Whether the list of all topics must be looked through.
    pub(crate) fn has_regex(&self) -> bool {
        self.rules
            .iter()
            .any(|(fits, _)| matches!(fits, Fits::Regex(_)))
    }
}

impl Fits {
    fn name(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => **own == *name,
            Self::Regex(regex) => {
                !INTERNAL.iter().any(|prefix| name.starts_with(prefix)) && regex.is_match(name)
            }
        }
    }
}

fn bad(reason: String) -> SourceError {
    SourceError::Setting {
        setting: "topics".into(),
        reason,
    }
}

fn fits(topic: &TopicSettings) -> Result<Fits, SourceError> {
    match (&topic.name, &topic.regex) {
        (Some(name), None) if !name.is_empty() => Ok(Fits::Name(name.as_str().into())),
        (None, Some(regex)) => Regex::new(&format!("^(?:{regex})$"))
            .map(Fits::Regex)
            .map_err(|error| bad(format!("compiling regex `{regex}`: {error}"))),
        _ => Err(bad("each entry needs either `name` or `regex`".into())),
    }
}

fn rule(topic: &TopicSettings) -> Result<TopicRule, SourceError> {
    let shown = topic
        .name
        .as_ref()
        .or(topic.regex.as_ref())
        .map_or("", String::as_str);
    if topic.lateness_ms < 0 {
        let reason = format!("entry `{shown}`: `lateness_ms` is below 0");
        return Err(bad(reason));
    }
    if topic.tenant.is_empty() {
        return Err(bad(format!("entry `{shown}`: `tenant` is empty")));
    }
    let relabel =
        Relabel::new(&topic.relabel).map_err(|error| SourceError::relabel(shown, &error))?;
    Ok(TopicRule {
        format: topic.format,
        tenant: topic.tenant.clone(),
        lateness_ms: topic.lateness_ms,
        relabel,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_that_fits_counts_and_internal_topics_need_their_name() {
        let named = |name: &str, tenant: &str| TopicSettings {
            name: Some(name.into()),
            tenant: tenant.into(),
            ..TopicSettings::default()
        };
        let regex = TopicSettings {
            regex: Some(".*".into()),
            ..TopicSettings::default()
        };
        let topics = Topics::new(&[named("m", "one"), regex, named("__own", "two")]);
        let topics = topics.expect("valid");
        let tenant = |name| topics.rule(name).map(|rule| rule.tenant.as_str());
        assert_eq!(tenant("m"), Some("one"));
        assert_eq!(tenant("mm"), Some("default"));
        assert_eq!(tenant("__own"), Some("two"));
        assert_eq!(tenant("__consumer_offsets"), None);
        assert_eq!(tenant("tidegauge.alerts"), None);
    }
}
