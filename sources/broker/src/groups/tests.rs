//! Groups, by scripts of requests and times.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use tokio::sync::oneshot::{self, Receiver};
use tokio::time::Instant;

use super::{Answer, Group, Join, Joined, State, Sync, Synced, Waits};

const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(60);

fn join(group: &mut Group, now: Instant, member: &str, new_id: &str) -> Receiver<Answer<Joined>> {
    let (answer, joined) = oneshot::channel();
    let join = Join {
        member: member.to_owned(),
        new_id: new_id.to_owned(),
        instance: None,
        client_id: "test".to_owned(),
        client_host: "/here".to_owned(),
        session_timeout: SESSION,
        rebalance_timeout: REBALANCE,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), Bytes::from_static(b"topics"))],
        needs_id_first: false,
        can_skip_assignment: true,
    };
    assert!(matches!(group.join(now, join, answer), Waits::Yes));
    joined
}

fn sync(
    group: &mut Group,
    now: Instant,
    member: &str,
    generation: i32,
    assignments: &[(&str, &'static str)],
) -> Receiver<Answer<Synced>> {
    let (answer, synced) = oneshot::channel();
    let assignments = assignments.iter();
    let sync = Sync {
        member,
        instance: None,
        generation,
        protocol_type: None,
        protocol: None,
        assignments: assignments
            .map(|(id, to)| ((*id).to_owned(), Bytes::from(*to)))
            .collect(),
    };
    group.sync(now, sync, answer);
    synced
}

/// A stable group of `a` (the leader) and `b`, in generation 2.
fn of_two(now: Instant) -> Group {
    let mut group = Group::new(Duration::ZERO);
    join(&mut group, now, "", "a").try_recv().unwrap().unwrap();
    let mut b = join(&mut group, now, "", "b");
    let mut a = join(&mut group, now, "a", "");
    let (a, b) = (
        a.try_recv().unwrap().unwrap(),
        b.try_recv().unwrap().unwrap(),
    );
    assert_eq!(
        (a.generation, b.generation, a.members.len(), b.members.len()),
        (2, 2, 2, 0)
    );
    let mut waits = sync(&mut group, now, "b", 2, &[]);
    assert!(waits.try_recv().is_err(), "the leader has not assigned");
    let mut leads = sync(&mut group, now, "a", 2, &[("a", "0"), ("b", "1")]);
    assert_eq!(leads.try_recv().unwrap().unwrap().assignment, "0");
    assert_eq!(waits.try_recv().unwrap().unwrap().assignment, "1");
    assert_eq!(group.state, State::Stable);
    group
}

#[test]
fn a_member_that_falls_silent_is_replaced_by_the_others() {
    let now = Instant::now();
    let mut group = of_two(now);
    let later = now + SESSION / 2;
    group.heartbeat(later, "a", None, 2).unwrap();
    group.tick(now + SESSION);
    assert_eq!(
        group.heartbeat(later, "b", None, 2),
        Err(ResponseError::UnknownMemberId)
    );
    assert_eq!(
        group.heartbeat(later, "a", None, 2),
        Err(ResponseError::RebalanceInProgress)
    );
    let joined = join(&mut group, later, "a", "")
        .try_recv()
        .unwrap()
        .unwrap();
    assert_eq!((joined.generation, joined.members.len()), (3, 1));
}

#[test]
fn who_does_not_rejoin_in_time_is_out() {
    let now = Instant::now();
    let mut group = of_two(now);
    let mut c = join(&mut group, now, "", "c");
    let mut a = join(&mut group, now, "a", "");
    assert!(
        c.try_recv().is_err() && a.try_recv().is_err(),
        "b has not come"
    );
    let end = now + REBALANCE;
    group.tick(end);
    assert_eq!(a.try_recv().unwrap().unwrap().members.len(), 2);
    assert_eq!(c.try_recv().unwrap().unwrap().leader, "a");
    assert_eq!(
        group.heartbeat(end, "b", None, 2),
        Err(ResponseError::UnknownMemberId)
    );
}

#[test]
fn a_leader_that_never_assigns_is_left_behind() {
    let now = Instant::now();
    let mut group = of_two(now);
    group.leave(now, "a", None).unwrap();
    let mut c = join(&mut group, now, "", "c");
    let mut b = join(&mut group, now, "b", "");
    let leader = b.try_recv().unwrap().unwrap().leader;
    let follower = if leader == "b" { "c" } else { "b" };
    assert!(c.try_recv().unwrap().is_ok());
    let generation = group.generation;
    let mut waits = sync(&mut group, now, follower, generation, &[]);
    group.tick(now + SESSION);
    assert_eq!(
        waits.try_recv().unwrap(),
        Err(ResponseError::RebalanceInProgress)
    );
    assert_eq!(group.members.len(), 1);
}

#[test]
fn old_generations_and_strangers_are_refused() {
    let now = Instant::now();
    let mut group = of_two(now);
    assert_eq!(
        group.check_commit(now, "a", None, 1),
        Err(ResponseError::IllegalGeneration)
    );
    assert_eq!(
        group.check_commit(now, "x", None, 2),
        Err(ResponseError::UnknownMemberId)
    );
    assert_eq!(
        group.check_commit(now, "", None, -1),
        Err(ResponseError::UnknownMemberId)
    );
    assert_eq!(group.check_commit(now, "a", None, 2), Ok(()));
    let stale = sync(&mut group, now, "a", 1, &[]).try_recv().unwrap();
    assert_eq!(stale, Err(ResponseError::IllegalGeneration));
}

#[test]
fn the_last_to_leave_empties_the_group() {
    let now = Instant::now();
    let mut group = of_two(now);
    group.leave(now, "a", None).unwrap();
    group.leave(now, "b", None).unwrap();
    assert_eq!(
        (group.state, group.is_idle(), group.next_deadline()),
        (State::Empty, true, None)
    );
    assert_eq!(group.check_commit(now, "", None, -1), Ok(()));
}

#[test]
fn a_promised_id_is_waited_for_but_not_for_ever() {
    let now = Instant::now();
    let mut group = Group::new(Duration::ZERO);
    let (answer, _) = oneshot::channel();
    let mut first = Join {
        member: String::new(),
        new_id: "p".to_owned(),
        instance: None,
        client_id: String::new(),
        client_host: String::new(),
        session_timeout: SESSION,
        rebalance_timeout: REBALANCE,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), Bytes::new())],
        needs_id_first: true,
        can_skip_assignment: true,
    };
    assert!(matches!(group.join(now, first.clone(), answer), Waits::ComeBackAs(id) if id == "p"));
    let mut other = join(&mut group, now, "", "q");
    assert!(other.try_recv().is_err(), "p was promised a place");
    group.tick(now + SESSION);
    assert_eq!(other.try_recv().unwrap().unwrap().members.len(), 1);
    let (answer, mut refused) = oneshot::channel();
    first.member = "p".to_owned();
    group.join(now + SESSION, first, answer);
    assert_eq!(
        refused.try_recv().unwrap(),
        Err(ResponseError::UnknownMemberId)
    );
}

fn join_static(
    group: &mut Group,
    now: Instant,
    new_id: &str,
    topics: &'static str,
    can_skip_assignment: bool,
) -> Receiver<Answer<Joined>> {
    let (answer, joined) = oneshot::channel();
    let join = Join {
        member: String::new(),
        new_id: new_id.to_owned(),
        instance: Some("i".to_owned()),
        client_id: String::new(),
        client_host: String::new(),
        session_timeout: SESSION,
        rebalance_timeout: REBALANCE,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), Bytes::from(topics))],
        needs_id_first: true,
        can_skip_assignment,
    };
    assert!(matches!(group.join(now, join, answer), Waits::Yes));
    joined
}

/// A stable group with one static member, called `a`, that leads.
fn of_one_static(now: Instant) -> Group {
    let mut group = Group::new(Duration::ZERO);
    join_static(&mut group, now, "a", "t", true)
        .try_recv()
        .unwrap()
        .unwrap();
    let mut leads = sync(&mut group, now, "a", 1, &[("a", "all")]);
    assert_eq!(leads.try_recv().unwrap().unwrap().assignment, "all");
    group
}

#[test]
fn a_static_member_that_comes_back_goes_on_without_a_rebalance() {
    let now = Instant::now();
    for can_skip in [true, false] {
        let mut group = of_one_static(now);
        let mut back = join_static(&mut group, now, "a2", "t", can_skip);
        let back = back.try_recv().unwrap().unwrap();
        assert_eq!((back.generation, back.skips_assignment), (1, can_skip));
        assert_eq!(back.leader == back.member, can_skip);
        assert_eq!(group.state, State::Stable);
        let mut synced = sync(&mut group, now, "a2", 1, &[]);
        assert_eq!(synced.try_recv().unwrap().unwrap().assignment, "all");
        let old = group.heartbeat(now, "a", Some("i"), 1);
        assert_eq!(old, Err(ResponseError::FencedInstanceId));
    }
}

#[test]
fn a_static_member_that_comes_back_with_other_topics_starts_a_rebalance() {
    let now = Instant::now();
    let mut group = of_one_static(now);
    let mut back = join_static(&mut group, now, "a2", "t,u", true);
    assert_eq!(back.try_recv().unwrap().unwrap().generation, 2);
}

#[test]
fn whom_the_leader_leaves_out_has_nothing() {
    let now = Instant::now();
    let mut group = of_two(now);
    let mut a = join(&mut group, now, "a", "");
    let mut b = join(&mut group, now, "b", "");
    let generation = a.try_recv().unwrap().unwrap().generation;
    b.try_recv().unwrap().unwrap();
    sync(&mut group, now, "a", generation, &[("a", "both")]);
    let mut left_out = sync(&mut group, now, "b", generation, &[]);
    assert!(left_out.try_recv().unwrap().unwrap().assignment.is_empty());
}
