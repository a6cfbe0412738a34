//! Names that are made of entries: what is sent again finds its place, and takes nobody else's.

use super::batcher::Rules;
use super::fake::{Fault, refusal};
use super::key::{KeyFormat, KeyRules};
use super::tests::{Rig, lines, rules};
use crate::client::{Failure, FailureKind};

/// The object of these lines as an earlier run wrote it, and that run's end.
async fn written(lines: &[String]) -> (Rig, String) {
    let mut rig = Rig::new(rules("/$TAG/x.log"));
    rig.push("app", lines);
    rig.finish().await;
    let key = rig.store.objects().into_keys().next().unwrap();
    (rig, key)
}

#[tokio::test]
async fn entries_that_are_sent_again_after_a_crash_are_the_same_object() {
    let lines = lines("a", 30, 50);
    for (at, rules) in [rules("/$TAG/x.log"), rules("/$TAG/$UUID.log")].into_iter().enumerate() {
        let mut rig = Rig::new(rules.clone());
        rig.push("app", &lines);
        // S3 takes the object, and nobody hears of it.
        rig.store.fault("put", Fault::LoseAnswer);
        assert_eq!(rig.deliver_all(1).await, ["given up"]);
        let mut again = rig.again(rules);
        again.push("app", &lines);
        again.finish().await;
        let objects = rig.store.objects();
        assert_eq!(objects.len(), 1, "{at}: {:?}", objects.keys());
        assert_eq!(again.ledger.delivered(), 30);
    }
}

/// Rules for objects in parts, whose beginning is within the first one.
fn in_parts() -> Rules {
    Rules { total_size: 8 << 20, part_size: Some(3 << 19), max_held: 8 << 20, ..rules("/$TAG/x.log") }
}

/// Bytes of an object of these lines.
fn size(lines: &[String]) -> usize {
    lines.iter().map(|line| line.len() + 1).sum()
}

/// Pushes lines in chunks of so many.
fn push_in(rig: &mut Rig, lines: &[String], count: usize) {
    lines.chunks(count).for_each(|some| rig.push("app", some));
}

#[tokio::test]
async fn so_are_those_of_an_object_in_parts_whatever_they_come_in() {
    let lines = lines("a", 4_000, 1_000);
    let mut rig = Rig::new(in_parts());
    push_in(&mut rig, &lines, 50);
    rig.store.fault("complete", Fault::LoseAnswer);
    assert_eq!(rig.deliver_all(1).await, ["delivered", "delivered", "given up"]);
    let mut again = rig.again(in_parts());
    push_in(&mut again, &lines, 170);
    again.finish().await;
    assert_eq!(rig.store.objects().len(), 1, "{:?}", rig.store.calls());
    assert_eq!(rig.store.completed_parts(), [[3 << 19, 3 << 19, size(&lines) - (3 << 20)]]);
    assert_eq!(again.ledger.delivered(), 4_000);
}

#[tokio::test]
async fn an_object_in_parts_that_begins_as_another_takes_nothing_away() {
    let all = lines("a", 4_000, 1_000);
    for can_look in [true, false] {
        let mut rig = Rig::new(in_parts());
        push_in(&mut rig, &all, 50);
        rig.finish().await;
        if !can_look {
            rig.store.fault("head", Fault::Refuse(refusal(FailureKind::Denied, "AccessDenied", 403)));
        }
        let mut again = rig.again(in_parts());
        push_in(&mut again, &all[..3_000], 50);
        again.finish().await;
        let mut sizes: Vec<usize> = rig.store.objects().values().map(Vec::len).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [size(&all[..3_000]), size(&all)], "{can_look}");
    }
}

#[tokio::test]
async fn some_of_the_entries_sent_again_take_nothing_away() {
    let all = lines("a", 30, 50);
    let (rig, _) = written(&all).await;
    let mut again = rig.again(rules("/$TAG/x.log"));
    again.push("app", &all[..10]);
    again.finish().await;
    let lines: usize =
        rig.store.objects().values().map(|body| body.split(|byte| *byte == b'\n').count() - 1).sum();
    assert_eq!((rig.store.objects().len(), lines), (2, 40));
}

#[tokio::test]
async fn the_same_entries_twice_in_one_run_are_two_objects() {
    let mut rig = Rig::new(rules("/$TAG/x.log"));
    for _ in 0..2 {
        rig.push("app", &lines("a", 3, 5));
        rig.finish().await;
    }
    assert_eq!(rig.store.objects().len(), 2);
}

#[tokio::test]
async fn routers_that_write_the_same_to_one_bucket_write_two_objects() {
    let (rig, _) = written(&lines("a", 3, 5)).await;
    let mut other = rig.again(Rules { source: 2, ..rules("/$TAG/x.log") });
    other.push("app", &lines("a", 3, 5));
    other.finish().await;
    assert_eq!(rig.store.objects().len(), 2);
}

#[tokio::test]
async fn an_object_that_has_the_name_already_is_left_alone() {
    let lines = lines("a", 3, 5);
    let (rig, key) = written(&lines).await;
    let own = rig.store.objects()[&key].clone();
    let same_size = vec![b'?'; own.len()];
    for foreign in [&b"somebody else's"[..], &same_size] {
        rig.store.insert(&key, foreign);
        let mut again = rig.again(rules("/$TAG/x.log"));
        again.push("app", &lines);
        again.finish().await;
        let objects = rig.store.objects();
        assert_eq!(objects[&key], foreign);
        assert_eq!(objects.values().filter(|body| **body == own).count(), 1);
    }
}

#[tokio::test]
async fn what_cannot_be_compared_is_the_object_if_an_answer_was_lost_and_else_another() {
    let denied = || Fault::Refuse(refusal(FailureKind::Denied, "AccessDenied", 403));
    for can_look in [true, false] {
        let lines = lines("a", 3, 5);
        let (rig, _) = written(&lines).await;
        rig.store.hide_md5();
        if !can_look {
            rig.store.fault("head", denied());
        }
        let mut again = rig.again(rules("/$TAG/x.log"));
        again.push("app", &lines);
        again.finish().await;
        assert_eq!(rig.store.objects().len(), 2);

        if !can_look {
            rig.store.fault("head", denied());
        }
        rig.store.fault("put", Fault::LoseAnswer);
        again.push("app", &super::tests::lines("b", 3, 5));
        assert_eq!(again.deliver_all(2).await, ["delivered"]);
        assert_eq!(rig.store.objects().len(), 3);
    }
}

#[tokio::test]
async fn a_look_that_fails_is_repeated() {
    let lines = lines("a", 3, 5);
    let (rig, _) = written(&lines).await;
    rig.store.fault("head", Fault::Refuse(Failure::transient("connection lost")));
    let mut again = rig.again(rules("/$TAG/x.log"));
    again.push("app", &lines);
    assert_eq!(again.deliver_all(2).await, ["delivered"]);
    assert_eq!(rig.store.objects().len(), 1);
}

#[tokio::test]
async fn where_overwriting_was_asked_for_nothing_is_compared() {
    let keys = KeyFormat::parse("/latest.json", KeyRules { is_static: true, ..KeyRules::default() }).unwrap();
    let mut rig = Rig::new(Rules { keys, part_size: None, ..rules("/x") });
    for name in ["a", "b"] {
        rig.push("app", &lines(name, 3, 5));
        rig.finish().await;
    }
    assert_eq!(rig.store.calls(), ["put latest.json", "put latest.json"]);
    assert!(rig.store.objects()["latest.json"].starts_with(b"b 0"));
}
