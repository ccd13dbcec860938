//! Where statements end: at semicolons that stand neither in quotes nor in comments.

/// What the scan is inside of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Nothing,
    /// A text or a quoted name; the quote doubled stands for itself, which scanning takes as two
    /// texts side by side, to the same end.
    Quotes(u8),
    Line,
    /// Comments nest.
    Block(usize),
}

/// The statements of a text, without their semicolons and without empty ones; and whether the
/// text ends within one (its last statement has no semicolon, or a quote is open).
#[must_use]
pub fn split(text: &str) -> (Vec<&str>, bool) {
    let (bytes, mut inside) = (text.as_bytes(), Inside::Nothing);
    let (mut statements, mut start, mut at) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        let two = (bytes[at], bytes.get(at + 1).copied());
        let mut step = 1;
        inside = match (inside, two) {
            (Inside::Nothing, (b';', _)) => {
                statements.push(&text[start..at]);
                start = at + 1;
                inside
            }
            (Inside::Nothing, (quote @ (b'\'' | b'"'), _)) => Inside::Quotes(quote),
            (Inside::Nothing, (b'-', Some(b'-'))) => Inside::Line,
            (Inside::Nothing, (b'/', Some(b'*'))) => {
                step = 2;
                Inside::Block(1)
            }
            (Inside::Quotes(quote), (byte, _)) if byte == quote => Inside::Nothing,
            (Inside::Line, (b'\n', _)) => Inside::Nothing,
            (Inside::Block(depth), (b'/', Some(b'*'))) => {
                step = 2;
                Inside::Block(depth + 1)
            }
            (Inside::Block(depth), (b'*', Some(b'/'))) => {
                step = 2;
                if depth == 1 {
                    Inside::Nothing
                } else {
                    Inside::Block(depth - 1)
                }
            }
            _ => inside,
        };
        at += step;
    }
    let rest = &text[start..];
    let open = matches!(inside, Inside::Quotes(_) | Inside::Block(_)) || !is_empty(rest);
    statements.push(rest);
    (
        statements
            .into_iter()
            .map(str::trim)
            .filter(|text| !is_empty(text))
            .collect(),
        open,
    )
}

/// Whether there is nothing in it but spaces and line comments.
fn is_empty(text: &str) -> bool {
    text.lines()
        .all(|line| line.trim().is_empty() || line.trim().starts_with("--"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_that_count() {
        let text = "SELECT ';' a; SELECT \"x;y\" -- no; end\n, 1; /* a; /* b; */ c; */ SELECT 2";
        let (statements, open) = split(text);
        assert_eq!(statements.len(), 3, "{statements:?}");
        assert!(statements[2].ends_with("SELECT 2") && open);
        assert_eq!(split("a; ; -- only this\n;"), (vec!["a"], false));
        assert_eq!(split(""), (vec![], false));
    }

    #[test]
    fn a_doubled_quote_does_not_end_a_text() {
        assert_eq!(split("SELECT 'it''s; so';").0, ["SELECT 'it''s; so'"]);
        assert!(split("SELECT 'open;").1);
    }
}
