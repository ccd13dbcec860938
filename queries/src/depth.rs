//! Keeps a query's text to what can be planned.
//!
//! Parser and planner recurse into what is nested, and stacks end: a query deeper than they reach would end the
//! process, with all that runs in it. Operators in a row nest too, each around those before it. What the parser
//! itself recurses into, and what it can't tell us of later, is counted in the text's tokens before it begins.

use std::ops::ControlFlow;

use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, GroupByWithModifier, Query, Select, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::QueryError;

/// Words, values and signs of a text: a list of 50,000 numbers still passes.
const TOKENS_MOST: usize = 100_000;
/// Brackets open at the same time. The parser gives up earlier where it counts, but in types it doesn't.
const OPEN_MOST: usize = 100;
/// Of what makes a plan deeper: tables, joins and unions, queries within others or behind WITH.
const PARTS_MOST: usize = 600;
const PARTS: &str = "tables, joins, unions and queries within it";
/// Expressions within expressions: the first of 2,000 conditions in a row lies that deep. Planning takes time by the
/// square of it. Of a query's expressions the deepest counts, and conditions behind a table each, since they are
/// planned as one; so are those of nested queries. But not what all have.
const DEPTH_MOST: usize = 2_500;
const DEPTH_FREE: usize = 4;
/// Columns of a CUBE, which the planner makes into 2 to the power of that many groupings, and only then counts.
const CUBE_MOST: usize = 12;

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
        (PARTS_MOST, PARTS, shape.parts),
    ] {
        if has > most {
            return Err(too_many(what, most));
        }
    }
    Ok(())
}

fn too_many(what: &str, most: usize) -> QueryError {
    QueryError::Invalid(format!("the query has more than {most} {what}; split it"))
}

/// Refuses a statement whose planning could need more stack than there is.
pub(crate) fn check_depth(statement: &Statement) -> Result<(), QueryError> {
    let mut depth = Depth::default();
    let visited = match statement {
        Statement::Explain(explain) => return check_depth(&explain.statement),
        Statement::Statement(sql) => sql.visit(&mut depth),
        _ => ControlFlow::Continue(()),
    };
    match visited {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(Excess::Parts) => Err(too_many(PARTS, PARTS_MOST)),
        ControlFlow::Break(Excess::Cube) => Err(QueryError::Invalid(format!(
            "a CUBE may be of {CUBE_MOST} columns; name the groupings you need by GROUPING SETS"
        ))),
        ControlFlow::Break(Excess::Depth) => Err(QueryError::Invalid(format!(
            "the query has more than {DEPTH_MOST} operators around each other or in a row; split it, \
             or use IN for many values of one column"
        ))),
    }
}

/// Refuses rows of a type that nests too deep for whoever writes them.
pub(crate) fn check_types(schema: &Schema) -> Result<(), QueryError> {
    let deep = |field: &&FieldRef| !is_within(field.data_type(), OPEN_MOST);
    schema.fields().iter().find(deep).map_or(Ok(()), |field| {
        let name = field.name();
        let name = &name[..name.floor_char_boundary(64)];
        Err(QueryError::Invalid(format!(
            "column `{name}` has more than {OPEN_MOST} lists within each other"
        )))
    })
}

/// Whether the type nests at most so deep. Goes no deeper than that itself.
fn is_within(data_type: &DataType, most: usize) -> bool {
    let Some(most) = most.checked_sub(1) else {
        return false;
    };
    let within = |field: &FieldRef| is_within(field.data_type(), most);
    match data_type {
        DataType::List(field)
        | DataType::ListView(field)
        | DataType::LargeList(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => within(field),
        DataType::RunEndEncoded(ends, values) => within(ends) && within(values),
        DataType::Struct(fields) => fields.iter().all(within),
        DataType::Union(fields, _) => fields.iter().all(|(_, field)| within(field)),
        DataType::Dictionary(_, values) => is_within(values, most),
        _ => true,
    }
}

/// What is counted over tokens: what nests without a bracket or an expression.
#[derive(Default)]
struct Shape {
    open: usize,
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
                self.open += 1;
                self.open_most = self.open_most.max(self.open);
                self.parts += usize::from(last == Some(Opening::Closed));
            }
            Token::RParen | Token::RBrace => self.close(),
            Token::RBracket => {
                self.close();
                self.last = Some(Opening::Closed);
            }
            Token::Lt => self.parts += usize::from(last == Some(Opening::Type)),
            Token::VerticalBarRightAngleBracket => self.parts += 1,
            Token::Word(word) => self.word(word.keyword),
            Token::SingleQuotedString(text)
            | Token::EscapedStringLiteral(text)
            | Token::UnicodeStringLiteral(text)
            | Token::NationalStringLiteral(text) => self.text(text),
            Token::DollarQuotedString(text) => self.text(&text.value),
            _ => {}
        }
    }

    /// `arrow_cast` reads a type from a text.
    fn text(&mut self, text: &str) {
        let mut open = 0_usize;
        for byte in text.bytes() {
            match byte {
                b'(' => open += 1,
                b')' => open = open.saturating_sub(1),
                _ => continue,
            }
            self.open_most = self.open_most.max(open);
        }
    }

    const fn close(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    fn word(&mut self, keyword: Keyword) {
        match keyword {
            Keyword::ARRAY | Keyword::STRUCT => self.last = Some(Opening::Type),
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
            | Keyword::EXPLAIN => self.parts += 1,
            _ => {}
        }
    }
}

/// Of what there is too much.
enum Excess {
    Parts,
    Depth,
    Cube,
}

/// How deep expressions lie, and of how many parts a statement is. Breaks off before the visit is itself too deep.
#[derive(Default)]
struct Depth {
    parts: usize,
    /// The query that is visited, and those around it, outermost first.
    open: Level,
    around: Vec<Level>,
    /// What counts of all that was visited before and of the queries around.
    before: usize,
    /// Whether a table was the last that was visited: an expression that follows may be a condition on it.
    after_table: bool,
}

/// Expressions of a query, without those of queries within it.
#[derive(Default)]
struct Level {
    /// Those around the one that is visited, itself counted.
    now: usize,
    /// The most of them within the outermost one that is visited.
    deepest: usize,
    /// Whether that may be a condition on a table.
    is_condition: bool,
    /// The most within any that is none.
    most: usize,
}

impl Level {
    fn depth(&self) -> usize {
        self.deepest.max(self.most)
    }
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

    const fn part(&mut self) -> ControlFlow<Excess> {
        self.parts += 1;
        if self.parts > PARTS_MOST {
            return ControlFlow::Break(Excess::Parts);
        }
        ControlFlow::Continue(())
    }
}

impl Visitor for Depth {
    type Break = Excess;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Excess> {
        let outer = std::mem::take(&mut self.open);
        self.before += outer.depth();
        self.around.push(outer);
        self.part()
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Excess> {
        let outer = self.around.pop().unwrap_or_default();
        self.before -= outer.depth();
        let inner = std::mem::replace(&mut self.open, outer);
        self.before += inner.most.saturating_sub(DEPTH_FREE);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Excess> {
        match &select.group_by {
            GroupByExpr::Expressions(columns, modifiers)
                if columns.len() > CUBE_MOST && modifiers.contains(&GroupByWithModifier::Cube) =>
            {
                ControlFlow::Break(Excess::Cube)
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, _: &TableFactor) -> ControlFlow<Excess> {
        self.part()
    }

    fn post_visit_table_factor(&mut self, _: &TableFactor) -> ControlFlow<Excess> {
        self.after_table = true;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Excess> {
        if matches!(expr, Expr::Cube(columns) if columns.len() > CUBE_MOST) {
            return ControlFlow::Break(Excess::Cube);
        }
        let open = &mut self.open;
        if open.now == 0 {
            open.is_condition = std::mem::take(&mut self.after_table);
        }
        open.now += Self::of(expr);
        open.deepest = open.deepest.max(open.now);
        if self.before + open.depth() > DEPTH_MOST {
            return ControlFlow::Break(Excess::Depth);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Excess> {
        let open = &mut self.open;
        open.now -= Self::of(expr);
        if open.now == 0 {
            let deepest = std::mem::take(&mut open.deepest);
            if open.is_condition {
                self.before += deepest.saturating_sub(DEPTH_FREE);
            } else {
                open.most = open.most.max(deepest);
            }
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
        let column = "round(cast(sum(case when s.host='a' and s.value>1 then s.value else 0 end)\
                      /nullif(count(*),0) as numeric),2) is distinct from 1, ";
        passes(format!("select {} 1 from samples s", column.repeat(1_000)));
        let rows = ", (1, -1.5, 'a')".repeat(7_000);
        passes(format!("select * from values (0, 0.5, 'b'){rows}"));
        let steps = (1..290).map(|n| format!(", a{n} as (select * from a{})", n - 1));
        let steps = steps.collect::<String>();
        passes(format!("with a0 as (select 1){steps} select * from a289"));
        let columns = "time, ".repeat(11);
        passes(format!(
            "select 1 from samples group by cube({columns} name)"
        ));
    }
}
