//! `file` and `null`. What `stdout` writes is seen to where it is written.

use std::fs;

use crate::rig::Rig;

#[tokio::test]
async fn null_takes_everything() {
    let mut rig = Rig::new("null", "");
    rig.push("app", &["{\"a\":1}", "{\"b\":2}"]);
    rig.push("web", &["{}"]);
    assert_eq!(rig.finish().await, ["delivered"]);
    assert_eq!(rig.ledger.delivered(), 3);
}

#[tokio::test]
async fn a_file_is_named_after_its_tag_or_as_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display();
    let mut rig = Rig::new("file", &format!("path {path}\nformat plain"));
    rig.push("app.one", &["{\"a\":1}"]);
    rig.push("app.two", &["{\"b\":2}"]);
    rig.push("app.one", &["{\"a\":3}"]);
    assert_eq!(rig.finish().await, ["delivered", "delivered"]);
    assert_eq!(fs::read_to_string(dir.path().join("app.one")).unwrap(), "{\"a\":1}\n{\"a\":3}\n");
    assert_eq!(fs::read_to_string(dir.path().join("app.two")).unwrap(), "{\"b\":2}\n");

    let mut rig = Rig::new("file", &format!("path {path}/new/dir\nmkdir on\nfile all.log"));
    rig.push("app.one", &["{\"a\":1}"]);
    rig.push("app.two", &["{\"b\":2}"]);
    assert_eq!(rig.finish().await, ["delivered"]);
    assert_eq!(
        fs::read_to_string(dir.path().join("new/dir/all.log")).unwrap(),
        "app.one: [1700000000.123456717, {\"a\":1}]\napp.two: [1700000000.123456717, {\"b\":2}]\n"
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_tried_again_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("later");
    let mut rig = Rig::new("file", &format!("path {}\nformat plain\nfile app.log", folder.display()));
    rig.push("app", &["{\"a\":1}", "{\"b\":2}"]);
    let mut batches = rig.close();
    assert_eq!(batches.len(), 1);
    let ikada_plugin::Outcome::Retry { cause, .. } = batches[0].delivery.attempt().await else {
        panic!("there is no folder");
    };
    assert!(cause.to_string().contains("later/app.log: No such file"), "{cause}");
    fs::create_dir(&folder).unwrap();
    assert!(matches!(batches[0].delivery.attempt().await, ikada_plugin::Outcome::Delivered));
    assert_eq!(fs::read_to_string(folder.join("app.log")).unwrap(), "{\"a\":1}\n{\"b\":2}\n");
    batches.iter().flat_map(|batch| &batch.parts).for_each(|part| part.share.deliver(part.entries));
}

#[tokio::test]
async fn a_full_disk_is_tried_again() {
    let full = std::path::Path::new("/dev/full");
    if !full.exists() {
        return;
    }
    let mut rig = Rig::new("file", "path /dev\nfile full\nformat plain");
    rig.push("app", &["{\"a\":1}"]);
    let mut batches = rig.close();
    let ikada_plugin::Outcome::Retry { cause, .. } = batches[0].delivery.attempt().await else {
        panic!("the disk is full");
    };
    assert!(cause.to_string().contains("No space left"), "{cause}");
    batches.iter().flat_map(|batch| &batch.parts).for_each(|part| part.share.deliver(part.entries));
}

#[tokio::test]
async fn msgpack_in_a_file_is_the_same_whatever_the_entries_looked_like() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new("file", &format!("path {}\nformat msgpack\nfile raw", dir.path().display()));
    rig.push("app", &["{\"a\":1}"]);
    assert_eq!(rig.finish().await, ["delivered"]);
    let expected = [
        b"\x92\x92\xd7\x00".as_slice(),
        &1_700_000_000u32.to_be_bytes(),
        &123_456_717u32.to_be_bytes(),
        b"\x80\x81\xa1a\x01",
    ];
    assert_eq!(fs::read(dir.path().join("raw")).unwrap(), expected.concat());
}
