//! Lets queries through and nothing that changes anything.

use std::collections::VecDeque;

use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::Statement as Sql;

use crate::depth;
use crate::error::QueryError;

/// Parses the one query that `text` is.
pub(crate) fn parse(text: &str) -> Result<Statement, QueryError> {
    depth::check_text(text)?;
    let parsed = DFParser::parse_sql(text).map_err(|e| QueryError::from_datafusion(&e, 0))?;
    one_of(parsed)
}

fn one_of(mut statements: VecDeque<Statement>) -> Result<Statement, QueryError> {
    match statements.len() {
        0 => Err(QueryError::NotAQuery("an empty text".into())),
        1 => {
            let statement = statements.pop_front().expect("there is one");
            depth::check_depth(&statement)?;
            check(&statement)?;
            Ok(statement)
        }
        n => Err(QueryError::NotAQuery(format!("{n} statements"))),
    }
}

fn check(statement: &Statement) -> Result<(), QueryError> {
    let allowed = match statement {
        Statement::Statement(sql) => matches!(
            **sql,
            Sql::Query(_)
                | Sql::ExplainTable { .. }
                | Sql::ShowTables { .. }
                | Sql::ShowColumns { .. }
                | Sql::ShowVariable { .. }
                | Sql::ShowFunctions { .. }
        ),
        Statement::Explain(explain) => return check(&explain.statement),
        _ => false,
    };
    if allowed {
        return Ok(());
    }
    let text = statement.to_string();
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or("something else").to_uppercase();
    Err(QueryError::NotAQuery(first))
}

/// Checks once more, on the plan, that nothing is changed.
pub(crate) fn verify(plan: &LogicalPlan) -> Result<(), QueryError> {
    let only_queries = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    let verified = only_queries.verify_plan(plan);
    verified.map_err(|e| QueryError::from_datafusion(&e, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_pass() {
        for text in [
            "select 1",
            "with a as (select 1) select * from a;",
            "values (1)",
            "explain analyze select 1",
            "show tables",
            "describe samples",
            "show columns from samples",
            "select 1 union all select 2",
        ] {
            parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }

    #[test]
    fn all_else_is_refused() {
        for text in [
            "",
            "select 1; select 2",
            "drop table samples",
            "create table a as select 1",
            "create external table a stored as parquet location '/'",
            "insert into samples values (1)",
            "copy (select 1) to 'a.csv'",
            "set datafusion.execution.batch_size = 1",
            "explain insert into samples values (1)",
            "explain copy (select 1) to 'a.csv'",
            "delete from samples",
            "update samples set value = 1",
            "begin",
            "prepare a as select 1",
        ] {
            let error = parse(text).expect_err(text);
            assert!(matches!(error, QueryError::NotAQuery(_)), "{text}: {error}");
        }
    }
}
