//! The process dies at every put, and the next one goes on: what was acknowledged is there once.

mod common;

use std::cell::RefCell;

use common::{Lake, Way, compact, live, simulate, stream};
use tidegauge_lake::Committer;
use tidegauge_tables::LakeState;

/// What a life of the pipeline tells the test while it lives.
#[derive(Default)]
struct Told {
    /// The state after the last acknowledged commit.
    acknowledged: Option<LakeState>,
    /// What the lake would be if the commit on its way stood.
    names_if_landed: Option<Vec<String>>,
}

/// Commits, compacts, projects and tidies, as a pipeline does.
async fn life(lake: &Lake, way: &Way, told: &RefCell<Told>) {
    let writer = lake.claim(way).await;
    told.borrow_mut().acknowledged = Some((*writer.state()).clone());
    for epoch in 1..=6 {
        let name = epoch.to_string();
        commit(&writer, stream(epoch, &name), told, |names| {
            names.push(name.clone())
        })
        .await;
        if epoch % 2 == 0 {
            writer.project().await;
        }
        if epoch % 3 == 0 {
            let old = [(epoch - 1).to_string(), epoch.to_string()];
            let new = format!("{epoch}-compact");
            let as_of = writer.state().version.expect("claimed");
            let draft = compact(as_of, &[&old[0], &old[1]], &new);
            commit(&writer, draft, told, |names| {
                names.retain(|name| !old.contains(name));
                names.push(new.clone());
            })
            .await;
            writer.keep().await.expect("a store that lives or hangs");
        }
    }
    writer.finish().await.expect("a store that lives or hangs");
}

async fn commit(
    writer: &Committer,
    draft: tidegauge_lake::Draft,
    told: &RefCell<Told>,
    change: impl FnOnce(&mut Vec<String>),
) {
    let mut names = live(&writer.state());
    change(&mut names);
    names.sort();
    told.borrow_mut().names_if_landed = Some(names);
    let state = writer.commit(draft).await.expect("it is the writer");
    *told.borrow_mut() = Told {
        acknowledged: Some((*state).clone()),
        names_if_landed: None,
    };
}

/// One life that dies after `puts` puts, then one that goes on. Whether the first came to its end.
async fn die_and_go_on(lake: &Lake, puts: u64) -> bool {
    let way = lake.way(puts);
    way.faults.die_after_puts(Some(puts));
    let told = RefCell::new(Told::default());
    let whole = lake.within(900_000, life(lake, &way, &told)).await;
    let told = told.into_inner();

    let before = lake.read().await;
    let names = live(&before);
    let acknowledged = told.acknowledged.unwrap_or_default();
    let landed = told.names_if_landed.as_ref() == Some(&names);
    assert!(
        before == acknowledged || landed || told_nothing(&acknowledged),
        "after {puts} puts"
    );

    let writer = lake.writer(1000 + puts).await;
    let state = writer.state();
    assert_eq!(live(&state), names, "a claim changes no file");
    assert_eq!(state.generation, before.generation + 1);
    writer
        .commit(stream(100, "after"))
        .await
        .expect("it is the writer");
    writer.project().await;
    assert_eq!(lake.read().await, *writer.state(), "after {puts} puts");
    whole.is_some()
}

/// Dead before its claim was acknowledged.
fn told_nothing(acknowledged: &LakeState) -> bool {
    acknowledged.version.is_none()
}

#[test]
fn dying_at_any_put_loses_nothing_and_doubles_nothing() {
    simulate(async {
        for puts in 0.. {
            // Nothing is cleaned up, so that all projections can be held against all commits.
            let lake = Lake::tidy(2, 4, i64::MAX);
            let whole = die_and_go_on(&lake, puts).await;
            lake.check_projections().await;
            if whole {
                assert!(puts > 30, "the life has many puts, not {puts}");
                return;
            }
        }
    });
}

#[test]
fn dying_at_any_put_while_the_log_is_cleaned_up_loses_nothing() {
    simulate(async {
        for puts in 0.. {
            let lake = Lake::tidy(2, 4, 0);
            if die_and_go_on(&lake, puts).await {
                let entry = tidegauge_tables::paths::entry(tidegauge_tables::Table::Samples, 0);
                assert!(lake.object(entry).await.is_none(), "the log was cleaned up");
                return;
            }
        }
    });
}
