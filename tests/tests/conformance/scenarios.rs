//! What may happen between an output and its server, told once for all of them.

use std::time::Duration;

use ikada_forward::client::{FrameOption, encode_packed, push_entry};
use ikada_localaws::{AutoCreate, CutPoint, Down, Fault, FaultKind, Service, When};
use ikada_record::Timestamp;
use ikada_tests::{Router, Writer, docker_record, wait_for};
use rustix::process::Signal;

use super::rig::{Books, Kind, Rig, TAG, Trouble, books, errors, write};

/// Enough for several calls of each output: some 5 MB.
const SOME: u64 = 12_000;

/// A few: a call or two.
const FEW: u64 = 200;

/// Everything that was written has arrived, each once, and the books say so.
fn once(rig: &Rig, router: &mut Router, count: u64) {
    let books = books(router);
    // Without answers a server may read on when the program is gone.
    wait_for("the server has read it all", || rig.kind != Kind::forward || rig.numbers().distinct == count);
    let (numbers, log) = (rig.numbers(), router.log());
    assert_eq!((numbers.distinct, numbers.duplicated), (count, 0), "{numbers:?}\n{log}");
    assert_eq!(books, Books { sent: count, unsent: 0, dropped: 0 }, "{log}");
    if rig.kind == Kind::cloudwatch_logs {
        assert_eq!(numbers.out_of_order, 0, "{log}");
    }
}

/// Everything that was written has arrived, some of it perhaps twice, and the books say so.
fn at_least_once(rig: &Rig, router: &mut Router, count: u64) {
    let books = books(router);
    let (numbers, log) = (rig.numbers(), router.log());
    assert_eq!(numbers.distinct, count, "{numbers:?}\n{log}");
    assert_eq!(books, Books { sent: count, unsent: 0, dropped: 0 }, "{log}");
    if rig.kind == Kind::s3 {
        assert_eq!(numbers.duplicated, 0, "a repeated upload is the same object again");
    }
}

/// Nothing was lost, so no line may say that something was.
fn no_errors(router: &Router) {
    assert_eq!(errors(&router.log()), Vec::<&str>::new());
}

pub(crate) fn order_is_kept_and_everything_arrives_once(kind: Kind) {
    let rig = Rig::new(kind);
    // Forward keeps order where it does not wait for answers.
    let config = rig.config("", "").replace("require_ack_response on", "require_ack_response off");
    let mut router = Router::start_in(rig.dir.clone(), &config, &[]);
    write(&router, SOME);
    once(&rig, &mut router, SOME);
    if matches!(kind, Kind::cloudwatch_logs | Kind::forward) {
        assert_eq!(rig.numbers().out_of_order, 0);
    }
    no_errors(&router);
}

/// Trouble that leaves no doubt about what was taken.
fn clear_trouble(kind: Kind, trouble: Trouble, output: &str) {
    let rig = Rig::new(kind);
    rig.trouble(trouble, When::First(2));
    rig.trouble(trouble, When::Every(3));
    let mut router = rig.start("", output);
    write(&router, SOME);
    wait_for("trouble", || rig.struck() >= 3);
    once(&rig, &mut router, SOME);
    no_errors(&router);
}

/// Trouble after which a client cannot know whether its data was taken.
fn doubtful_trouble(kind: Kind, trouble: Trouble) {
    let rig = Rig::new(kind);
    rig.trouble(trouble, When::First(2));
    let mut router = rig.start("", "");
    write(&router, SOME);
    wait_for("trouble", || rig.struck() >= 2);
    at_least_once(&rig, &mut router, SOME);
    no_errors(&router);
}

pub(crate) fn throttling_doubles_and_loses_nothing(kind: Kind) {
    clear_trouble(kind, Trouble::Throttle, "");
}

pub(crate) fn server_errors_double_and_lose_nothing(kind: Kind) {
    clear_trouble(kind, Trouble::ServerError, "");
}

pub(crate) fn half_a_batch_is_sent_again_and_the_other_half_is_not(kind: Kind) {
    clear_trouble(kind, Trouble::Half, "");
}

/// The service takes part of a call, and says of the rest that its time is wrong: that rest is counted, and nothing is sent again.
pub(crate) fn half_a_batch_is_turned_away_and_the_other_half_arrives_once(kind: Kind) {
    const HOUR: i64 = 3_600;
    const FRAME: u64 = 500;
    let rig = Rig::new(kind);
    // What is older than fourteen days is turned away: here, what is older than now.
    rig.aws.faults().shift_clock(14 * 24 * HOUR * 1000);
    let mut router = rig.start("", "");
    let mut writer = Writer::connect(&router.socket(), TAG, "a");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    for frame in 0..SOME / FRAME {
        let (mut run, mut buf) = (Vec::new(), Vec::new());
        for number in frame * FRAME..(frame + 1) * FRAME {
            let time = if number % 2 == 0 { now + HOUR } else { now - HOUR };
            let record = docker_record(&format!("seq=a:{number} {}", "served ".repeat(40)));
            push_entry(&mut run, Timestamp::new(time, 0), &record);
        }
        encode_packed(&mut buf, TAG.as_bytes(), &run, &FrameOption::default());
        writer.write_raw(&buf).unwrap();
    }
    let books = books(&mut router);
    let (numbers, log) = (rig.numbers(), router.log());
    assert_eq!(books, Books { sent: SOME / 2, unsent: 0, dropped: SOME / 2 }, "{log}");
    assert_eq!((numbers.distinct, numbers.duplicated), (SOME / 2, 0), "{numbers:?}\n{log}");
    let events = rig.aws.cloudwatch().events("app", &format!("s-{TAG}"));
    assert!(events.len() as u64 == SOME / 2 && events.iter().all(|(time, _)| *time > now * 1000));
    assert!(log.contains("turned away because of their time"), "{log}");
}

pub(crate) fn a_cut_before_the_body_doubles_and_loses_nothing(kind: Kind) {
    clear_trouble(kind, Trouble::Cut(CutPoint::BeforeBody), "");
}

pub(crate) fn a_cut_after_the_body_doubles_and_loses_nothing(kind: Kind) {
    clear_trouble(kind, Trouble::Cut(CutPoint::AfterBody), "");
}

pub(crate) fn a_cut_after_the_data_was_taken_loses_nothing(kind: Kind) {
    doubtful_trouble(kind, Trouble::Cut(CutPoint::AfterTaking));
}

pub(crate) fn a_cut_in_the_answer_loses_nothing(kind: Kind) {
    doubtful_trouble(kind, Trouble::Cut(CutPoint::MidAnswer));
}

/// `CompleteMultipartUpload` may answer 200 with an error in its body.
pub(crate) fn an_error_in_an_answer_of_success_loses_nothing(kind: Kind) {
    let rig = Rig::new(kind);
    let complete = Fault::new(FaultKind::ErrorInOk).on(Service::S3, "CompleteMultipartUpload");
    rig.aws.faults().add(complete.when(When::First(2)));
    let config = rig.config("", "").replace("use_put_object on", "upload_chunk_size 5M");
    let config = config.replace("total_file_size 1M", "total_file_size 50M");
    let config = config.replace("upload_timeout 2s", "upload_timeout 10m");
    let mut router = Router::start_in(rig.dir.clone(), &config, &[]);
    write(&router, 3 * SOME);
    once(&rig, &mut router, 3 * SOME);
    assert_eq!(rig.struck(), 2);
    assert_eq!(rig.aws.s3().open_uploads("app"), []);
    no_errors(&router);
}

pub(crate) fn a_refused_connection_doubles_and_loses_nothing(kind: Kind) {
    let rig = Rig::new(kind);
    rig.down(Down::Refuse);
    let mut router = rig.start("log_level debug\n", "");
    write(&router, FEW);
    router.wait_for_log("attempt failed");
    rig.up();
    once(&rig, &mut router, FEW);
    no_errors(&router);
}

pub(crate) fn a_black_hole_is_left_at_the_deadline_and_nothing_is_lost(kind: Kind) {
    let rig = Rig::new(kind);
    rig.down(Down::BlackHole);
    let mut router = rig.start("log_level debug\n", "net.io_timeout 1\n");
    write(&router, FEW);
    router.wait_for_log("attempt failed");
    rig.up();
    once(&rig, &mut router, FEW);
    no_errors(&router);
}

pub(crate) fn expired_credentials_are_renewed_and_nothing_is_lost(kind: Kind) {
    let signed = "aws_auth on\naws_service es\naws_region ap-northeast-1\n";
    clear_trouble(kind, Trouble::ExpiredToken, if kind == Kind::http { signed } else { "" });
}

/// A role's credentials are not to be had, and then they are.
pub(crate) fn records_wait_for_credentials_that_are_missing(kind: Kind) {
    let rig = Rig::new(kind);
    rig.aws.faults().add(Fault::new(FaultKind::Unavailable).service(Service::Sts));
    let role = "role_arn arn:aws:iam::123456789012:role/logs\n";
    let mut router = rig.start("log_level debug\n", &format!("{role}sts_endpoint {}\n", rig.aws.http_url()));
    write(&router, FEW);
    router.wait_for_log("no credentials");
    rig.heal();
    once(&rig, &mut router, FEW);
}

pub(crate) fn a_clock_that_is_off_holds_nothing_up(kind: Kind) {
    for minutes in [-25, 25] {
        let rig = Rig::new(kind);
        rig.aws.faults().shift_clock(minutes * 60_000);
        let mut router = rig.start("", "");
        write(&router, FEW);
        // Without a stop, which would hurry retries along.
        wait_for("all of them", || rig.numbers().distinct == FEW);
        once(&rig, &mut router, FEW);
        no_errors(&router);
    }
}

pub(crate) fn records_wait_for_a_right_that_is_missing(kind: Kind) {
    let rig = Rig::new(kind);
    rig.trouble(Trouble::AccessDenied, When::Always);
    let mut router = rig.start("", "");
    write(&router, FEW);
    // A line names the right that is missing, as an error: nobody but a person can end it.
    let right = kind.service().1;
    wait_for("the error", || errors(&router.log()).iter().any(|line| line.contains(right)));
    rig.heal();
    once(&rig, &mut router, FEW);
}

pub(crate) fn records_wait_for_a_destination_that_is_missing(kind: Kind) {
    let rig = Rig::with(kind, AutoCreate::none());
    let config = rig.config("", "").replace("auto_create_group on", "auto_create_group off");
    let mut router = Router::start_in(rig.dir.clone(), &config, &[]);
    write(&router, FEW);
    // The line says what to do.
    router.wait_for_log(match kind {
        Kind::cloudwatch_logs => "create log group",
        Kind::kinesis_firehose => "create delivery stream",
        Kind::kinesis_streams => "create data stream",
        _ => "create bucket",
    });
    let is_new = match kind {
        Kind::cloudwatch_logs => rig.aws.cloudwatch().create_log_group("app"),
        Kind::kinesis_firehose => rig.aws.firehose().create_delivery_stream("app"),
        Kind::kinesis_streams => rig.aws.kinesis().create_stream("app"),
        _ => rig.aws.s3().create_bucket("app"),
    };
    assert!(is_new);
    once(&rig, &mut router, FEW);
}

/// A status that says that the same body will never be taken, as Fluent Bit reads it too: such records are dropped and counted.
pub(crate) fn what_a_server_refuses_for_good_is_counted(kind: Kind) {
    let rig = Rig::new(kind);
    rig.trouble(Trouble::AccessDenied, When::First(1));
    let mut router = rig.start("", "");
    write(&router, SOME);
    let books = books(&mut router);
    let (numbers, log) = (rig.numbers(), router.log());
    assert!(books.dropped > 0 && !errors(&log).is_empty(), "{log}");
    assert_eq!((numbers.distinct, books.sent + books.dropped, books.unsent), (books.sent, SOME, 0), "{log}");
}

pub(crate) fn a_stop_waits_for_slow_answers(kind: Kind) {
    let rig = Rig::new(kind);
    rig.trouble(Trouble::Late(Duration::from_millis(300)), When::Always);
    let mut router = rig.start("", "");
    write(&router, SOME);
    once(&rig, &mut router, SOME);
    no_errors(&router);
}

pub(crate) fn a_kill_loses_nothing_that_was_acknowledged(kind: Kind) {
    const ROUNDS: u64 = 4;
    const EACH: u64 = 300;
    let rig = Rig::new(kind);
    rig.trouble(
        if kind == Kind::forward { Trouble::Cut(CutPoint::AfterBody) } else { Trouble::ServerError },
        When::Every(3),
    );
    let service = "storage.path {dir}/store\n";
    let config = rig.config(service, "").replace("Mem_Buf_Limit 50MB", "storage.type filesystem");
    let mut acked = Vec::new();
    for round in 0..ROUNDS {
        let mut router = Router::start_in(rig.dir.clone(), &config, &[]);
        let mut writer = Writer::connect_from(&router.socket(), TAG, "a", round * EACH);
        let mut reader = writer.reader();
        for _ in 0..EACH {
            writer.write_asking();
        }
        // The moment depends on what has arrived, and on nothing else.
        for _ in 0..(round * 89) % EACH {
            acked.extend(reader.read_ack());
        }
        router.signal(Signal::KILL);
        router.wait();
    }
    let mut router = Router::start_in(rig.dir.clone(), &config, &[]);
    assert_eq!(router.stop().code(), Some(0), "{}", router.log());
    assert!(!acked.is_empty());
    let lost: Vec<_> = acked.iter().filter(|number| !rig.has(**number)).collect();
    assert!(lost.is_empty(), "acknowledged, and not there: {lost:?}\n{}", router.log());
}

pub(crate) fn a_dead_server_is_given_up_at_the_end_of_the_grace_with_exact_books(kind: Kind) {
    let rig = Rig::new(kind);
    rig.down(Down::BlackHole);
    let mut router = rig.start("Grace 2\n", "");
    write(&router, FEW);
    let books = books(&mut router);
    assert_eq!(books, Books { sent: 0, unsent: FEW, dropped: 0 }, "{}", router.log());
    assert_eq!(rig.numbers().distinct, 0);
}
