//! Keeps a query's text to what can be planned.
//!
//! Parser and planner recurse into what is nested, and stacks end: a query deeper than they reach would end the
//! process, with all that runs in it. Operators in a row nest too, each around those before it. What the parser
//! itself recurses into, and what it can't tell us of later, is counted in the text's tokens before it begins.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::QueryError;

/// Words, values and signs of a text: a list of 50,000 numbers still passes.
const TOKENS_MOST: usize = 100_000;
/// Brackets open at the same time. The parser gives up earlier where it counts, but in types it doesn't.
const OPEN_MOST: usize = 100;
/// Of what makes a plan deeper: a table, a join, a union, a subquery.
const PARTS_MOST: usize = 600;
/// Expressions within expressions: the first of 2,000 conditions in a row lies that deep. Planning takes time by the
/// square of it. Depths of different expressions add up, since those of nested queries are planned as one; but not
/// what all have.
const DEPTH_MOST: usize = 2_500;
const DEPTH_FREE: usize = 4;

/// Refuses a text whose parsing could need more stack than there is. One that is no SQL passes: the parser says
/// better what is wrong.
pub(crate) fn check_text(text: &str) -> Result<(), QueryError> {
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize() else {
        return Ok(());
    };
    let blank = |token: &&Token| matches!(token, Token::Whitespace(_));
    let mut shape = Shape::default();
    let mut count = 0;
    for token in tokens.iter().filter(|token| !blank(token)) {
        count += 1;
        shape.take(token);
    }
    for (most, what, has) in [
        (TOKENS_MOST, "words and signs", count),
        (OPEN_MOST, "brackets within each other", shape.open_most),
        (
            PARTS_MOST,
            "subqueries, tables, joins and unions",
            shape.parts,
        ),
    ] {
        if has > most {
            return Err(QueryError::Invalid(format!(
                "the query has {has} {what}, and {most} may be; split it"
            )));
        }
    }
    Ok(())
}

/// Refuses a statement whose planning could need more stack than there is.
pub(crate) fn check_depth(statement: &Statement) -> Result<(), QueryError> {
    let mut depth = Depth::default();
    let visited = match statement {
        Statement::Explain(explain) => return check_depth(&explain.statement),
        Statement::Statement(sql) => sql.visit(&mut depth),
        _ => ControlFlow::Continue(()),
    };
    if visited.is_continue() {
        return Ok(());
    }
    Err(QueryError::Invalid(format!(
        "the query has more than {DEPTH_MOST} operators around each other or in a row; split it, \
         or use IN for many values of one column"
    )))
}

/// What is counted over tokens.
#[derive(Default)]
struct Shape {
    /// Whether a FROM has begun, by open bracket: from there on a comma may be a join.
    from: Vec<bool>,
    outside: bool,
    open_most: usize,
    parts: usize,
    last: Option<Opening>,
}

/// Tokens after which the next one means more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// `array<` and `struct<` open a type.
    Type,
    /// `[1][1]`, `int[][]`: the second nests the first.
    Closed,
}

impl Shape {
    fn take(&mut self, token: &Token) {
        let last = self.last.take();
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                self.from.push(false);
                self.open_most = self.open_most.max(self.from.len());
                self.parts += usize::from(last == Some(Opening::Closed));
            }
            Token::RParen | Token::RBrace => drop(self.from.pop()),
            Token::RBracket => {
                self.from.pop();
                self.last = Some(Opening::Closed);
            }
            Token::Comma => self.parts += usize::from(*self.in_from()),
            Token::Lt => self.parts += usize::from(last == Some(Opening::Type)),
            Token::VerticalBarRightAngleBracket => self.parts += 1,
            Token::Word(word) => self.word(word.keyword),
            _ => {}
        }
    }

    fn word(&mut self, keyword: Keyword) {
        match keyword {
            Keyword::SELECT => *self.in_from() = false,
            Keyword::FROM => *self.in_from() = true,
            Keyword::ARRAY | Keyword::STRUCT => {
                self.last = Some(Opening::Type);
                return;
            }
            Keyword::JOIN
            | Keyword::STRAIGHT_JOIN
            | Keyword::APPLY
            | Keyword::UNION
            | Keyword::EXCEPT
            | Keyword::INTERSECT
            | Keyword::MINUS
            | Keyword::PIVOT
            | Keyword::UNPIVOT
            | Keyword::MATCH_RECOGNIZE
            | Keyword::EXPLAIN => {}
            _ => return,
        }
        self.parts += 1;
    }

    fn in_from(&mut self) -> &mut bool {
        self.from.last_mut().unwrap_or(&mut self.outside)
    }
}

/// How deep expressions lie. Breaks off before the visit is itself too deep.
#[derive(Default)]
struct Depth {
    /// Expressions around the one that is visited, itself counted.
    now: usize,
    /// The most of them within the outermost one.
    deepest: usize,
    /// Of the outermost ones before.
    before: usize,
}

impl Depth {
    /// One for itself; parts of parts are a list here and nested in a plan.
    fn of(expr: &Expr) -> usize {
        match expr {
            Expr::CompoundFieldAccess { access_chain, .. } => 1 + access_chain.len(),
            Expr::CompoundIdentifier(names) => names.len(),
            _ => 1,
        }
    }
}

impl Visitor for Depth {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.now += Self::of(expr);
        self.deepest = self.deepest.max(self.now);
        if self.before + self.deepest > DEPTH_MOST {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.now -= Self::of(expr);
        if self.now == 0 {
            self.before += self.deepest.saturating_sub(DEPTH_FREE);
            self.deepest = 0;
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use crate::guard::parse;

    /// On a stack as large as the engine's threads have.
    fn passes(query: String) {
        let parsed = std::thread::Builder::new()
            .stack_size(crate::engine::STACK_BYTES)
            .spawn(move || parse(&query).map(drop))
            .expect("a thread");
        assert_eq!(parsed.join().expect("no panic"), Ok(()));
    }

    #[test]
    fn what_people_and_dashboards_write_passes() {
        let numbers: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
        let numbers = numbers.join(", ");
        passes(format!("select * from samples where value in ({numbers})"));
        let conditions = " or s.value = 1.5".repeat(1_999);
        passes(format!(
            "select 1 from samples s where s.value = 0{conditions}"
        ));
        let branch = "select time, host, avg(value) as v from raw.\"cpu.load\" \
                      where host = 'a' and time > now() - interval '1 hour' group by time, host";
        passes([branch; 150].join(" union all "));
        let columns = "sum(case when host = 'a' and value > 1 then value else 0 end) / count(*), ";
        passes(format!("select {} 1 from samples", columns.repeat(1_000)));
    }
}
