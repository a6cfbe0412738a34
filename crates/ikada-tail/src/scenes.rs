//! What happens to files, scene by scene.

use std::fs;

use crate::options::{Charset, UnicodeEncoding};
use crate::settings::LONGEST;
use crate::world::{PATTERNS, STYLES, Style, World};

fn each(test: impl Fn(&mut World, Style)) {
    let mut failed = Vec::new();
    for style in STYLES {
        for pattern in PATTERNS {
            let mut world = World::new(pattern);
            test(&mut world, style);
            world.finish();
            if let Some(problem) = world.problem(false) {
                failed.push(format!("{style:?} {pattern}: {problem}"));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn rotation_while_it_is_read_loses_and_doubles_nothing() {
    each(|world, style| {
        for _ in 0..5 {
            world.write("app.log", 50);
            world.look();
            world.read();
            world.write("app.log", 7);
            world.rotate(style);
            world.write("app.log", 3);
            world.look();
            world.read();
            world.settle_all();
        }
    });
}

#[test]
fn several_rotations_between_two_looks_lose_and_double_nothing() {
    each(|world, style| {
        for _ in 0..3 {
            world.write("app.log", 50);
            world.look();
            world.read();
            for _ in 0..3 {
                world.write("app.log", 7);
                world.rotate(style);
            }
            world.write("app.log", 3);
        }
    });
}

#[test]
fn rotations_while_it_is_stopped_lose_and_double_nothing() {
    each(|world, style| {
        for rotations in 1..4 {
            world.write("app.log", 50);
            world.look();
            world.read();
            world.write("app.log", 5);
            world.stop_meanwhile(|world| {
                for _ in 0..rotations {
                    world.write("app.log", 11);
                    world.rotate(style);
                }
                world.write("app.log", 2);
            });
        }
    });
}

#[test]
fn a_line_in_two_pieces_is_one_line_even_across_a_rotation_and_a_stop() {
    each(|world, style| {
        world.write("app.log", 3);
        world.write_in_pieces("app.log", |world| {
            world.look();
            world.read();
            world.stop_meanwhile(|_| {});
            world.read();
        });
        world.rotate(style);
        world.write("app.log", 3);
    });
}

#[test]
fn content_that_goes_on_under_another_tag_is_not_taken_for_delivered_before_it_is() {
    for pattern in PATTERNS {
        let mut world = World::with_tag(pattern, "*");
        world.write("app.log", 50);
        world.look();
        world.read_only();
        // Read and not sent, under the tag of `app.log`; what follows is read under that of the copy, and fills a chunk there.
        world.write("app.log", 9000);
        world.rotate(Style::CopyTruncate);
        world.look();
        world.read_only();
        world.look();
        world.read_only();
        while world.settle_last() {
            world.commit();
        }
        world.kill();
        world.finish();
        assert_eq!(world.problem(true), None, "{pattern}");
    }
}

#[test]
fn unsettled_lines_come_again_after_a_kill() {
    for style in STYLES {
        for pattern in PATTERNS {
            let mut world = World::new(pattern);
            world.write("app.log", 1000);
            world.look();
            world.read();
            world.commit();
            world.kill_meanwhile(|world| world.rotate(style));
            world.finish();
            assert_eq!(world.problem(false), None, "{style:?} {pattern}");
        }
    }
}

#[test]
fn a_file_that_is_cut_to_the_same_size_is_read_again() {
    let mut world = World::new("app.log");
    world.write("app.log", 5);
    world.look();
    world.read();
    world.clear("app.log");
    world.write("app.log", 5);
    world.finish();
    assert_eq!(world.problem(false), None);
}

#[test]
fn a_file_that_is_cut_and_grows_past_its_old_size_is_read_again() {
    let mut world = World::new("app.log");
    world.write("app.log", 5);
    world.look();
    world.read();
    world.settle_all();
    world.commit();
    world.clear("app.log");
    world.write("app.log", 9);
    world.finish();
    assert_eq!(world.problem(false), None);
    world.stop_meanwhile(|world| {
        world.clear("app.log");
        world.write("app.log", 19);
    });
    world.finish();
    assert_eq!(world.problem(false), None);
}

#[test]
fn a_file_with_the_same_first_line_in_its_place_is_another_one() {
    let mut world = World::new("app.log");
    for n in 0..4 {
        let header = "#".repeat(100) + " the same first line in every file\n";
        let path = world.path("new");
        world.append("new", header.as_bytes());
        fs::rename(path, world.path("app.log")).unwrap();
        world.write("app.log", 20 + n);
        world.look();
        world.read();
        world.settle_all();
    }
    world.finish();
    let headers = world.delivered.remove(&("#".repeat(100) + " the same first line in every file"));
    assert_eq!((headers, world.problem(false)), (Some(4), None));
}

#[test]
fn a_deleted_file_is_read_to_its_end_with_its_last_line() {
    let mut world = World::new("app.log");
    world.write("app.log", 5);
    world.look();
    world.write("app.log", 500);
    world.append("app.log", b"the last words");
    fs::remove_file(world.path("app.log")).unwrap();
    world.finish();
    world.finish();
    assert_eq!(world.delivered.remove("the last words"), Some(1));
    assert_eq!(world.problem(false), None);
    assert_eq!(world.db.all().unwrap(), [], "nothing is kept of it");
}

#[test]
fn an_inode_that_is_used_again_does_not_bring_its_position() {
    let mut world = World::new("app.log");
    for _ in 0..20 {
        world.write("app.log", 30);
        world.look();
        world.read();
        world.stop_meanwhile(|world| {
            fs::remove_file(world.path("app.log")).unwrap();
            world.write("app.log", 40);
        });
    }
    world.finish();
    assert_eq!(world.problem(false), None);
}

#[test]
fn a_link_that_is_switched_leads_to_the_new_file_and_the_old_one_is_finished() {
    let mut world = World::new("app.log");
    world.write("one", 10);
    std::os::unix::fs::symlink(world.path("one"), world.path("app.log")).unwrap();
    world.look();
    world.read();
    world.write("one", 10);
    world.write("two", 10);
    std::os::unix::fs::symlink(world.path("two"), world.path("next")).unwrap();
    fs::rename(world.path("next"), world.path("app.log")).unwrap();
    world.finish();
    assert_eq!(world.problem(false), None);
}

#[test]
fn compressed_files_are_read_once() {
    let mut world = World::new("*.gz");
    world.write("app.log", 5000);
    world.pack("app.log");
    world.look();
    world.read();
    world.finish();
    world.stop_meanwhile(|_| {});
    world.finish();
    assert_eq!(world.problem(false), None);
    let row = &world.db.all().unwrap()[0].checkpoint;
    assert_eq!(row.offset, fs::metadata(world.path("app.log.gz")).unwrap().len());
}

#[test]
fn holes_long_lines_and_bytes_that_are_no_text_stop_nothing() {
    let mut world = World::new("app.log");
    world.append("app.log", &vec![0; 3_000_000]);
    world.write("app.log", 1);
    world.append("app.log", &vec![b'x'; 5_000_000]);
    world.look();
    world.read();
    world.append("app.log", b"end\n");
    world.append("app.log", b"\xff\xfe\n");
    world.write("app.log", 1);
    world.finish();
    let long = world.delivered.keys().find(|line| line.starts_with('x')).unwrap().clone();
    assert_eq!(long.len(), LONGEST);
    assert_eq!(world.delivered.remove(&long), Some(1));
    assert_eq!(world.delivered.remove("\u{fffd}\u{fffd}"), Some(1));
    assert_eq!(world.problem(false), None);
    assert_eq!(world.tailer.counts.long_lines, 1);
}

#[test]
fn a_rotated_file_that_is_packed_after_it_was_read_and_closed_is_not_read_again() {
    for pattern in PATTERNS {
        for meanwhile in 0..3 {
            let mut world = World::new(pattern);
            world.write("app.log", 200);
            world.deliver();
            world.rotate(Style::Rename);
            world.wait();
            world.deliver();
            // The second rotation packs what is `app.log.1` now.
            match meanwhile {
                0 => world.rotate(Style::Compress),
                1 => world.stop_meanwhile(|world| world.rotate(Style::Compress)),
                _ => world.rotate_with(Style::Compress, &mut |world| world.stop_meanwhile(|_| {})),
            }
            world.finish();
            world.stop_meanwhile(|_| {});
            world.finish();
            assert_eq!(world.problem(false), None, "{pattern} {meanwhile}");
        }
    }
}

#[test]
fn what_was_read_and_is_gone_is_known_when_it_comes_back_packed_even_after_a_restart() {
    let mut world = World::new("app.log*");
    world.write("app.log", 200);
    world.deliver();
    world.rotate(Style::Rename);
    world.deliver();
    let text = fs::read(world.path("app.log.1")).unwrap();
    fs::remove_file(world.path("app.log.1")).unwrap();
    world.finish();
    assert_eq!(world.db.past("tail.0").unwrap().len(), 1, "it is remembered");
    world.stop_meanwhile(|world| {
        world.append("app.log.1", &text);
        world.pack("app.log.1");
    });
    world.finish();
    assert_eq!(world.problem(false), None);
}

#[test]
fn an_inode_that_is_used_again_while_it_runs_neither_loses_nor_doubles() {
    let mut world = World::new("app.log*");
    for round in 0..20 {
        world.write("app.log", 30);
        world.deliver();
        world.rotate(Style::Rename);
        world.deliver();
        // Closed, deleted, and its inode is free for the next one.
        world.wait();
        fs::remove_file(world.path("app.log.1")).unwrap();
        if round % 2 == 0 {
            fs::remove_file(world.path("app.log")).unwrap();
        }
        world.write("app.log", 40);
        world.write("app.log.other", 5);
        world.deliver();
        world.prune(0);
        fs::remove_file(world.path("app.log.other")).unwrap();
    }
    world.finish();
    assert_eq!(world.problem(false), None);
}

#[test]
fn a_copy_and_its_cut_original_are_told_apart_across_restarts() {
    for pattern in PATTERNS {
        for style in [Style::CopyTruncate, Style::CopyOver] {
            let mut world = World::new(pattern);
            for _ in 0..4 {
                world.write("app.log", 100);
                world.deliver();
                world.rotate_with(style, &mut |world| world.stop_meanwhile(|_| {}));
                world.write("app.log", 50);
                world.stop_meanwhile(|world| world.write("app.log", 10));
            }
            world.finish();
            assert_eq!(world.problem(false), None, "{pattern} {style:?}");
        }
    }
}

#[test]
fn text_in_utf_16_is_read_line_by_line_whatever_piece_it_comes_in() {
    for (big, mark) in [(false, "\u{feff}"), (true, "\u{feff}"), (false, "")] {
        let mut world = World::new("app.log");
        world.tailer.settings.encoding = Some(UnicodeEncoding::Auto);
        let text = format!("{mark}\u{76e3}\u{67fb}1\r\n\u{a00}\u{1f600}\nlast");
        let pair = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
        let bytes: Vec<u8> = text.encode_utf16().flat_map(pair).collect();
        for piece in bytes.chunks(3) {
            world.append("app.log", piece);
            world.look();
            world.read();
        }
        world.finish();
        assert_eq!(world.order, ["\u{76e3}\u{67fb}1", "\u{a00}\u{1f600}"], "an unfinished line waits");
        world.append("app.log", &"\n".encode_utf16().flat_map(pair).collect::<Vec<_>>());
        world.finish();
        assert_eq!(world.order[2..], ["last"]);
    }
}

#[test]
fn text_in_an_older_encoding_is_read_line_by_line_whatever_piece_it_comes_in() {
    let mut world = World::new("app.log");
    world.tailer.settings.charset = Some(Charset::ShiftJis);
    for piece in b"\x8a\xc4\x8d\xb81\r\n\x83\x5c\x83\x5c\nlast \x8a".chunks(3) {
        world.append("app.log", piece);
        world.look();
        world.read();
    }
    world.finish();
    assert_eq!(world.order, ["監査1", "ソソ"], "half a character waits with its line");
    world.append("app.log", b"\xc4\n");
    world.finish();
    assert_eq!(world.order[2..], ["last 監"]);
}

#[test]
fn each_file_has_its_turn_after_so_many_bytes() {
    let mut world = World::new("*.log");
    world.tailer.settings.turn = 1;
    // Longer than one read, so that a turn does not end the file.
    for name in ["a.log", "b.log"] {
        for n in 0..8 {
            world.append(name, format!("{name} {n} {}\n", "x".repeat(200_000)).as_bytes());
        }
    }
    world.finish();
    let files: Vec<_> = world.order.iter().map(|line| &line[..1]).collect();
    let changes = files.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!(files.len(), 16);
    assert!(changes > 4, "{files:?}");
}
