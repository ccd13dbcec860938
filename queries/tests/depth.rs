//! Texts that nest too deep to be planned are refused, and what people write is not.

mod common;

use common::{Lake, ask};
use tidegauge_queries::EngineSettings;

/// How often each shape is repeated.
const TIMES: usize = 20_000;

/// Queries behind WITH, each of the one before.
fn steps(more: &str, times: usize) -> String {
    let step = |n| format!(", a{n} as (select x{more} as x from a{})", n - 1);
    (1..times).map(step).collect()
}

#[tokio::test]
async fn what_nests_too_deep_is_an_error_and_not_the_end_of_the_process() {
    let engine = Lake::default().engine(EngineSettings::default());
    let around = |open: &str, inner: &str, close: &str| {
        let (open, close) = (open.repeat(TIMES), close.repeat(TIMES));
        format!("select {open}{inner}{close}")
    };
    let after = |what: &str| format!("select 1 {}", what.repeat(TIMES));
    for query in [
        after("::int"),
        after(" is null"),
        after(" isnull"),
        after("+1"),
        after("||'a'"),
        after("=1"),
        after(" or true"),
        after(" and value between 1 and 2"),
        after(" union all select 1"),
        after("!"),
        after(" at time zone 'UTC'"),
        after(" collate c"),
        after(" from (values (1)) |> where true"),
        around("not ", "true", ""),
        around("- ", "1", ""),
        around("-", "1", ""),
        around("(", "1", ")"),
        around("abs(", "1", ")"),
        around("case when true then ", "1", " end"),
        around("case ", "1", " when 1 then 1 end"),
        around("(select ", "1", ")"),
        around("exists (select ", "1", ")"),
        around("[", "1", "]"),
        around("", "labels", "[1]"),
        around("", "labels", ".a"),
        around("cast(1 as ", "int", "[])"),
        format!("select cast(1 as int{})", "[]".repeat(TIMES)),
        format!(
            "select cast(1 as {}int{})",
            "array<".repeat(TIMES),
            ">".repeat(TIMES)
        ),
        format!(
            "select arrow_cast(1, '{}Int32{}')",
            "List(".repeat(1_100),
            ")".repeat(1_100)
        ),
        format!(
            "with a0 as (select 1 as x){} select x from a59",
            (1..60)
                .map(|n| format!(", a{n} as (select [[x]] as x from a{})", n - 1))
                .collect::<String>()
        ),
        format!("{}select 1", "explain ".repeat(TIMES)),
        format!("select 1 from samples{}", ", samples".repeat(TIMES)),
        format!(
            "select 1 from samples{}",
            " cross join samples".repeat(TIMES)
        ),
        format!("select 1 from {}samples", "(".repeat(TIMES)),
        format!("with a0 as (select 1 as x){} select 1", steps("", 5_000)),
        format!(
            "select 1 where true{}",
            " and 1 in (select 1)".repeat(2_000)
        ),
        // Each condition is of no great depth, and together they make one.
        format!(
            "select 1 from samples s0{}",
            (1..200)
                .map(|n| format!(
                    " join samples s{n} on s{n}.value = 0{}",
                    " or (select true)".to_owned() + &" or true".repeat(40)
                ))
                .collect::<String>()
        ),
        format!(
            "with a0 as (select 1 as x){} select x from a19",
            steps(&"+1".repeat(1_000), 20)
        ),
        format!(
            "select 1 from samples group by cube({} name)",
            "time, ".repeat(30)
        ),
        format!(
            "select 1 from samples group by {} name with cube",
            "time, ".repeat(30)
        ),
        format!("select 1 {}", "+".repeat(TIMES)),
        format!("select 1 {}", "union all ".repeat(TIMES)),
        format!("update samples set value = 1 {}", "+1".repeat(TIMES)),
        format!("select 1 {}", "isnull ".repeat(95_000)),
        format!("select 1 {}", "isnull ".repeat(200_000)),
    ] {
        let error = ask(&engine, &query).await.expect_err("too deep");
        assert!(
            ["invalid", "not_a_query"].contains(&error.code()),
            "{}: {error}",
            &query[..60]
        );
    }
}
