//! What is declared, and what is said of what is written.

use ikada_basic::http::HttpOptions;
use ikada_options::{Options, check_set};
use ikada_plugin::Kind;

use crate::rig::{Section, input, output};

#[test]
fn every_declaration_is_sound() {
    check_set::<ikada_basic::dummy::DummyOptions>();
    check_set::<ikada_basic::stdin::StdinOptions>();
    check_set::<ikada_basic::tcp::TcpOptions>();
    check_set::<ikada_basic::file::FileOptions>();
    check_set::<HttpOptions>();
    check_set::<ikada_basic::null::NullOptions>();
    check_set::<ikada_basic::stdout::StdoutOptions>();
}

/// What is said of an `http` section, which is then no output.
fn refused(options: &str) -> Vec<String> {
    let (output, findings) = output("http", options);
    assert!(output.is_none(), "{findings:?}");
    findings
}

/// What is said of an `http` section.
fn findings(options: &str) -> Vec<String> {
    output("http", options).1
}

#[test]
fn what_http_does_not_have_is_refused_with_a_way_out() {
    assert_eq!(
        findings("oauth2.enable true\nproxy https://p:3128"),
        [
            "a.conf:1:1: error[unsupported-option]: `oauth2.enable` is not supported (help: use `header Authorization Bearer ${TOKEN}` with a token that lasts)",
            "a.conf:2:7: error[bad-value]: `proxy`: the value is spoken to over TLS (help: type `http://proxy.example.com:3128`)",
        ]
    );
}

#[test]
fn what_is_turned_off_need_not_be_supported() {
    let (built, findings) = output("http", "aws_auth off\noauth2.enable false\ncompress none");
    assert!(built.is_some() && findings.is_empty(), "{findings:?}");
}

#[test]
fn http_is_told_what_is_wrong_where_it_is_wrong() {
    let cases = [
        (
            "host https://logs.example.com",
            "`https://logs.example.com` is no host (help: type the name alone;",
        ),
        ("host logs.example.com/v1", "`logs.example.com/v1` is no host"),
        ("host user@logs.example.com", "`user@logs.example.com` is no host"),
        ("uri /a b", "`/a b` is no path"),
        ("header X-Alone", "is a name without a value"),
        (
            "header X-Team: payments",
            "does not start with a header's name (help: type the name without a colon",
        ),
        ("header Content-Length 5", "is a header that the router sets itself"),
        ("header_tag X Tag", "`X Tag` is no header to carry a tag"),
        ("json_date_format iso", "no date format has this name"),
        ("tls on\ntls.ca_file /nowhere/ca.pem", "`/nowhere/ca.pem` holds no certificate"),
        ("tls on\ntls.verify off\ntls.crt_file /x.pem", "`tls.crt_file` and `tls.key_file` belong together"),
        ("tls on\ntls.verify off\ntls.vhost a b", "`a b` is no host name"),
        ("tls on\ntls.min_version TLSv1.3\ntls.max_version TLSv1.2", "no version is left"),
    ];
    for (options, expected) in cases {
        let found = refused(options);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("error[bad-value]") && found[0].contains(expected), "{found:?}");
    }
}

#[test]
fn a_header_s_value_is_never_shown() {
    let found = refused("header X-Key hunter2\nheader X-Other\tse\u{7f}cret");
    assert!(found.iter().all(|line| !line.contains("hunter2")), "{found:?}");
}

#[test]
fn a_password_without_a_user_is_pointed_at() {
    let (built, findings) = output("http", "http_passwd hunter2");
    assert!(built.is_some());
    assert_eq!(
        findings,
        ["a.conf:1:13: warning[no-effect]: `http_passwd` has no effect without `http_user`"]
    );
}

#[test]
fn a_size_of_tcp_is_a_plain_number() {
    let (built, findings) = input("tcp", "chunk_size 1M");
    assert!(built.is_none());
    assert!(
        findings[0].contains("is no number of KB (help: type a plain number: `64` is 64 KB)"),
        "{findings:?}"
    );
}

#[test]
fn a_dummy_that_is_no_object_becomes_the_usual_one() {
    let (built, findings) = input("dummy", "dummy [1]");
    assert!(built.is_some());
    assert!(findings[0].contains("warning[bad-value]: not a JSON object"), "{findings:?}");
}

#[test]
fn what_is_no_object_beside_those_of_a_dummy_is_left_out() {
    for text in ["{\"a\":1} 5 {\"b\":2}", "{\"a\":1} x", "{\"a\":1},{\"b\":2}"] {
        let (built, findings) = input("dummy", &format!("dummy {text}"));
        assert!(built.is_some());
        assert!(findings[0].contains("warning[bad-value]: not only JSON objects"), "{findings:?}");
    }
    let (_, findings) = input("dummy", "metadata {\"a\":1} {\"b\":2}");
    assert!(findings[0].contains("warning[bad-value]: not a JSON object"), "{findings:?}");
}

#[test]
fn a_dry_run_does_not_ask_for_this_machine_s_authorities() {
    let mut section = Section::new(Kind::Output, "http", "tls on\ntls.vhost logs.test");
    section.cx.dry_run = true;
    let built = ikada_basic::http::build(&mut section.bag, &section.cx, &mut section.found);
    assert!(built.is_some());
    assert_eq!(section.findings(&HttpOptions::set()), Vec::<String>::new());
}

#[test]
fn signing_for_aws_needs_a_service_and_a_region() {
    let (built, findings) = output("http", "aws_auth on\naws_service es");
    assert!(built.is_none());
    assert_eq!(
        findings,
        [
            "a.conf:1:10: error[missing-option]: `aws_auth` needs `aws_region` (help: add a line `aws_region ap-northeast-1`)"
        ]
    );
    let (built, findings) = output("http", "aws_auth on\naws_service es\naws_region ap-northeast-1");
    assert!(built.is_some() && findings.is_empty(), "{findings:?}");
}
