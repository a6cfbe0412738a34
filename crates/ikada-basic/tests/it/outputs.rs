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

#[tokio::test]
async fn files_may_be_named_after_their_records_and_times() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().display();
    let options = format!(
        "path {root}/$app['team']\nfile %Y-%m-%d.$TAG[0].log\nenable_strftime on\nmkdir on\nformat plain\non_missing_field fallback\n\
         fallback_path {root}\nfallback_file other.log"
    );
    let mut rig = Rig::new("file", &options);
    rig.push(
        "web.x",
        &[
            "{\"app\":{\"team\":\"a\"}}",
            "{\"app\":{\"team\":\"../b\"}}",
            "{\"n\":1}",
            "{\"app\":{\"team\":\"c\"}}",
        ],
    );
    assert_eq!(rig.finish().await, ["delivered", "delivered", "delivered"]);
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(read("a/2023-11-14.web.log"), "{\"app\":{\"team\":\"a\"}}\n");
    assert_eq!(read("c/2023-11-14.web.log"), "{\"app\":{\"team\":\"c\"}}\n");
    assert_eq!(read("other.log"), "{\"app\":{\"team\":\"../b\"}}\n{\"n\":1}\n");
    assert_eq!(rig.ledger.delivered(), 4);
}

#[tokio::test]
async fn records_cannot_make_more_files_than_they_may() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().display();
    let mut rig = Rig::new("file", &format!("path {root}\nfile $f\nmax_dynamic_files 2\nformat plain"));
    rig.push("t", &["{\"f\":\"a\"}", "{\"f\":\"b\"}", "{\"f\":\"c\"}", "{\"f\":\"a\"}", "{}"]);
    assert_eq!(rig.finish().await, ["delivered", "delivered"]);
    assert_eq!((rig.ledger.delivered(), rig.ledger.dropped_total()), (3, 2));
    assert!(!dir.path().join("c").exists());
}

#[tokio::test]
async fn what_stands_behind_a_label_is_named_or_written() {
    let dir = tempfile::tempdir().unwrap();
    for (written, meant) in
        [("tab", "\t"), ("\\T", "\t"), ("Space", " "), ("comma", ","), ("=>", "=>"), (":", ":")]
    {
        let path = dir.path().join(written);
        let file = format!("path {}\nfile {written}\nformat ltsv\ndelimiter comma", dir.path().display());
        let mut rig = Rig::new("file", &format!("{file}\nlabel_delimiter {written}"));
        rig.push("t", &["{\"k\":1}"]);
        assert_eq!(rig.finish().await, ["delivered"]);
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(text, format!("\"time\"{meant}1700000000.123457,\"k\"{meant}1\n"));
    }
}

#[tokio::test]
async fn a_csv_file_begins_with_its_columns_once() {
    let dir = tempfile::tempdir().unwrap();
    for n in 1..=2 {
        let options = format!("path {}\nfile a.csv\nformat csv\ncsv_column_names on", dir.path().display());
        let mut rig = Rig::new("file", &options);
        rig.push("t", &[&format!("{{\"s\":\"x\",\"u\":{n}}}")]);
        assert_eq!(rig.finish().await, ["delivered"]);
    }
    let line = "1700000000.123456717,\"x\"";
    assert_eq!(
        fs::read_to_string(dir.path().join("a.csv")).unwrap(),
        format!("timestamp,\"s\",\"u\"\n{line},1\n{line},2\n")
    );
}

#[tokio::test]
async fn a_full_file_makes_room_for_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let options = format!(
        "path {}\nfile a.log\nformat plain\nrotate on\nrotate_max_size 10\nrotate_max_files 2\nrotate_gzip off",
        dir.path().display()
    );
    for _ in 0..4 {
        let mut rig = Rig::new("file", &options);
        rig.push("t", &["{\"text\":\"long\"}"]);
        assert_eq!(rig.finish().await, ["delivered"]);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    assert_eq!(fs::read_to_string(dir.path().join("a.log")).unwrap(), "{\"text\":\"long\"}\n");
}

#[test]
fn names_that_cannot_be_followed_are_refused_at_their_place() {
    let refused = |options| {
        let (output, lines) = crate::rig::output("file", options);
        assert!(output.is_none(), "{options}");
        lines.join("\n")
    };
    assert!(refused("file $a[").starts_with("a.conf:1:6: error[bad-value]"));
    assert!(refused("file %Q\nenable_strftime on").starts_with("a.conf:1:6: error[bad-value]"));
    assert!(refused("file $a\non_missing_field fallback").contains("needs a `fallback_file`"));
}
