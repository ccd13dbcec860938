//! The annotated configuration file: every key with its default, unit and meaning.
//!
//! Its lines are of four kinds: `# prose`, `[table]` or `[[list of tables]]`, `key = value`, and
//! `#key = value` (no space) for a key that is unset by default, with an example. Every value
//! stands on one line. So the file serves as documentation, as the list of known keys, and as the
//! form that `config show` fills in.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// The file that the project ships.
pub const SHIPPED: &str = include_str!("../../../../deploy/config/tidegauge.toml");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'t> {
    Header {
        path: &'t str,
        list: bool,
    },
    Key {
        key: &'t str,
        value: &'t str,
        set: bool,
    },
    Prose(&'t str),
}

fn line(text: &str) -> Line<'_> {
    let header = |path: &'_ str| !path.is_empty() && !path.contains(['[', ']', '"', '=']);
    if let Some(path) = text
        .strip_prefix("[[")
        .and_then(|rest| rest.strip_suffix("]]"))
        && header(path)
    {
        return Line::Header { path, list: true };
    }
    if let Some(path) = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        && header(path)
    {
        return Line::Header { path, list: false };
    }
    let (body, set) = match text.strip_prefix('#') {
        Some(rest) => (rest, false),
        None => (text, true),
    };
    match body.split_once(" = ") {
        Some((key, value)) if is_key(key) => Line::Key { key, value, set },
        _ => Line::Prose(text),
    }
}

fn is_key(key: &str) -> bool {
    let bare =
        |key: &str| !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    bare(key)
        || key
            .strip_prefix('"')
            .and_then(|key| key.strip_suffix('"'))
            .is_some()
}

/// The template as TOML with the unset keys' examples set as well: all keys there are.
///
/// # Panics
/// If the template is not TOML; a test sees to it that the shipped one is.
#[must_use]
pub(super) fn every_key(template: &str) -> Value {
    let uncommented: String = template
        .lines()
        .map(|text| match line(text) {
            Line::Key { key, value, .. } => format!("{key} = {value}\n"),
            _ => format!("{text}\n"),
        })
        .collect();
    toml::from_str(&uncommented).expect("the template is TOML, its examples too")
}

/// The template with its values replaced by those of `values`. Lists of tables are repeated as
/// often as needed; keys that the template does not name stand at the end of their table.
#[must_use]
pub(super) fn fill(template: &str, values: &Table) -> String {
    let mut out = String::new();
    for block in blocks(template) {
        let values_here = tables_at(values, block.path);
        match block.list {
            true => values_here
                .iter()
                .for_each(|table| fill_block(&block, table, &mut out)),
            false => {
                let empty = Table::new();
                fill_block(
                    &block,
                    values_here.first().copied().unwrap_or(&empty),
                    &mut out,
                );
            }
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// One table's lines: prose before its header, the header, keys with their prose.
struct Block<'t> {
    path: &'t str,
    list: bool,
    lines: Vec<&'t str>,
    /// Tables that have blocks of their own.
    inner: Vec<&'t str>,
}

fn blocks<'t>(template: &'t str) -> Vec<Block<'t>> {
    let mut blocks = vec![Block {
        path: "",
        list: false,
        lines: vec![],
        inner: vec![],
    }];
    for text in template.lines() {
        if let Line::Header { path, list } = line(text) {
            let above = blocks.last_mut().expect("there is always one");
            let prose = leading_prose(&mut above.lines);
            blocks.push(Block {
                path,
                list,
                lines: prose,
                inner: vec![],
            });
        }
        blocks
            .last_mut()
            .expect("there is always one")
            .lines
            .push(text);
    }
    let paths: Vec<&str> = blocks.iter().map(|block| block.path).collect();
    for block in &mut blocks {
        let below = |path: &&'t str| -> Option<&'t str> {
            let rest = match block.path {
                "" => *path,
                own => path.strip_prefix(own)?.strip_prefix('.')?,
            };
            rest.split('.').next().filter(|name| !name.is_empty())
        };
        block.inner = paths.iter().filter_map(below).collect();
    }
    blocks
}

/// Prose straight above a header belongs to it.
fn leading_prose<'t>(lines: &mut Vec<&'t str>) -> Vec<&'t str> {
    let prose = |text: &&str| matches!(line(text), Line::Prose(text) if text.starts_with('#'));
    let kept = lines
        .iter()
        .rposition(|text| !prose(text))
        .map_or(0, |at| at + 1);
    lines.split_off(kept)
}

fn tables_at<'v>(values: &'v Table, path: &str) -> Vec<&'v Table> {
    let mut here = vec![values];
    for key in path.split('.').filter(|key| !key.is_empty()) {
        here = here
            .into_iter()
            .filter_map(|table| table.get(key))
            .flat_map(|value| match value {
                Value::Table(table) => vec![table],
                Value::Array(items) => items.iter().filter_map(Value::as_table).collect(),
                _ => vec![],
            })
            .collect();
    }
    here
}

fn fill_block(block: &Block<'_>, values: &Table, out: &mut String) {
    let mut left: BTreeMap<&str, &Value> = values
        .iter()
        .filter(|(key, _)| !block.inner.contains(&key.as_str()))
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    let mut lines = Vec::new();
    for text in &block.lines {
        match line(text) {
            Line::Key { key, .. } => match left.remove(key.trim_matches('"')) {
                Some(value) => lines.push(format!("{key} = {value}")),
                None => lines.push(format!("#{}", text.trim_start_matches('#'))),
            },
            _ => lines.push((*text).to_owned()),
        }
    }
    let mut ending = 0;
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
        ending += 1;
    }
    for (key, value) in left {
        let quoted = Value::String(key.to_owned()).to_string();
        lines.push(format!(
            "{} = {value}",
            if is_key(key) { key } else { quoted.as_str() }
        ));
    }
    lines.extend((0..ending.max(1)).map(|_| String::new()));
    out.push_str(&lines.join("\n"));
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "\
# About it.
#
# key = value in prose is prose.
name = \"x\" 

# The list.
[[things]]
# How many.
count = 1
#label = \"an example\"

[free]
#\"some.key\" = \"v\"
";

    #[test]
    fn lines_are_told_apart() {
        assert_eq!(
            line("[a.b]"),
            Line::Header {
                path: "a.b",
                list: false
            }
        );
        assert_eq!(
            line("#a_b = 1"),
            Line::Key {
                key: "a_b",
                value: "1",
                set: false
            }
        );
        assert_eq!(line("# a_b = 1"), Line::Prose("# a_b = 1"));
        assert_eq!(
            line("a = [\"[x]\"]"),
            Line::Key {
                key: "a",
                value: "[\"[x]\"]",
                set: true
            }
        );
    }

    #[test]
    fn a_filled_form_is_toml_with_the_values_and_the_comments() {
        let text = "name = 'y'\n[[things]]\ncount = 2\nlabel = 'l'\n[[things]]\ncount = 3\n\
            [free]\n'other.key' = 'w'";
        let values: Table = toml::from_str(text).expect("toml");
        let filled = fill(FORM, &values);
        assert_eq!(
            toml::from_str::<Table>(&filled).expect("toml"),
            values,
            "{filled}"
        );
        assert_eq!(filled.matches("# How many.").count(), 2, "{filled}");
        assert_eq!(filled.matches("#label = ").count(), 1, "{filled}");
        assert!(
            filled.contains("# About it.\n#\n# key = value in prose"),
            "{filled}"
        );
    }

    #[test]
    fn every_key_has_the_examples() {
        let all = every_key(FORM);
        assert!(all["free"].get("some.key").is_some() && all["things"][0].get("label").is_some());
    }
}
