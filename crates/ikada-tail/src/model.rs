//! The model: whatever happens, in whatever order, every line is delivered, and once unless the process was killed.

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestError, TestRunner};

use crate::world::{PATTERNS, STYLES, World};

/// One for all files, and one for each name.
const TAGS: [&str; 2] = ["t", "*"];

#[derive(Debug, Clone)]
enum Do {
    Write(u64),
    Piece,
    /// Rotates in this style, with something else between its steps.
    Rotate(usize, Between),
    Look,
    Read,
    /// Reads, and the flush is not due.
    ReadOnly,
    Settle(usize),
    Commit,
    /// `Rotate_Wait` passes.
    Wait,
    /// Old files are deleted, all but so many.
    Prune(u64),
    Kill,
    Stop,
}

#[derive(Debug, Clone, Copy)]
enum Between {
    Nothing,
    Look,
    Read,
    Both,
    Stop,
    Kill,
}

fn any_between() -> impl Strategy<Value = Between> {
    use Between::{Both, Kill, Look, Nothing, Read, Stop};
    prop_oneof![6 => Just(Nothing), 2 => Just(Look), 1 => Just(Read), 3 => Just(Both), 1 => Just(Stop), 1 => Just(Kill)]
}

fn any_step() -> impl Strategy<Value = Do> {
    prop_oneof![
        6 => (1_u64..400).prop_map(Do::Write),
        1 => Just(Do::Piece),
        3 => (0..STYLES.len(), any_between()).prop_map(|(style, between)| Do::Rotate(style, between)),
        4 => Just(Do::Look),
        4 => Just(Do::Read),
        2 => Just(Do::ReadOnly),
        4 => (0_usize..8).prop_map(Do::Settle),
        2 => Just(Do::Commit),
        1 => Just(Do::Wait),
        1 => (0_u64..4).prop_map(Do::Prune),
        1 => Just(Do::Kill),
        1 => Just(Do::Stop),
    ]
}

/// Plays the steps. A style counts for all rotations; without one each has its own.
fn play(pattern: &str, tag: &'static str, style: Option<usize>, steps: &[Do]) -> Option<String> {
    let mut world = World::with_tag(pattern, tag);
    // Otherwise nobody could know that `app.log.1` was `app.log` once.
    world.write("app.log", 1);
    world.look();
    let mut was_killed = false;
    for step in steps {
        match step {
            Do::Write(lines) => world.write("app.log", *lines),
            Do::Piece => world.write_in_pieces("app.log", |world| {
                world.look();
                world.read();
            }),
            Do::Rotate(own, between) => {
                if world.has_many() {
                    world.prune(3);
                }
                was_killed |= matches!(between, Between::Kill);
                let style = STYLES[style.unwrap_or(*own)];
                world.rotate_with(style, &mut |world| match between {
                    Between::Nothing => {}
                    Between::Look => world.look(),
                    Between::Read => world.read(),
                    Between::Both => {
                        world.look();
                        world.read();
                    }
                    Between::Stop => world.stop_meanwhile(|_| {}),
                    Between::Kill => world.kill(),
                });
            }
            Do::Look => world.look(),
            Do::Read => world.read(),
            Do::ReadOnly => world.read_only(),
            Do::Settle(pick) => world.settle(*pick),
            Do::Commit => world.commit(),
            Do::Wait => world.wait(),
            Do::Prune(keep) => world.prune(*keep),
            Do::Kill => {
                was_killed = true;
                world.kill();
            }
            Do::Stop => world.stop_meanwhile(|_| {}),
        }
    }
    world.finish();
    world.problem(was_killed)
}

/// Other worlds every time; a failure says how to see it again. `PROPTEST_CASES` asks for more of them.
fn worlds() -> (ProptestConfig, u64) {
    let mut config =
        ProptestConfig { max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 100;
    }
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0),
    };
    config.rng_seed = RngSeed::Fixed(seed);
    (config, seed)
}

#[test]
fn whatever_happens_nothing_is_lost_and_only_a_kill_doubles() {
    let (config, seed) = worlds();
    let cases = config.cases;
    let style = prop::option::weighted(0.7, 0..STYLES.len());
    let steps = prop::collection::vec(any_step(), 1..60);
    let played = TestRunner::new(config).run(
        &(0..PATTERNS.len(), 0..TAGS.len(), style, steps),
        |(pattern, tag, style, steps)| {
            let problem = play(PATTERNS[pattern], TAGS[tag], style, &steps);
            prop_assert!(problem.is_none(), "{}", problem.unwrap());
            Ok(())
        },
    );
    let again = format!("PROPTEST_RNG_SEED={seed} PROPTEST_CASES={cases}");
    match played {
        Ok(()) => {}
        Err(TestError::Fail(why, (pattern, tag, style, steps))) => {
            let style = style.map(|style| STYLES[style]);
            panic!("{why}; again with {again}\n{} {} {style:?} {steps:?}", PATTERNS[pattern], TAGS[tag]);
        }
        Err(TestError::Abort(why)) => panic!("{why}; again with {again}"),
    }
}

#[test]
fn content_that_came_and_went_before_an_empty_file_was_looked_at_again_is_found() {
    use Do::{Kill, Read, Rotate, Stop, Write};
    let (rename, copy) = (Rotate(0, Between::Nothing), Rotate(1, Between::Nothing));
    let steps = [rename, Kill, Write(1), copy, Write(1), Read, Stop];
    assert_eq!(play("app.log", "t", None, &steps), None);
}
