//! Groups of servers that an output takes in turn, wherever they are written.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use ikada_tests::{Router, Writer, free_port, wait_for};
use tempfile::TempDir;

/// A router that takes Forward frames at a port and writes what comes to a file.
fn server(port: u16) -> Router {
    Router::start(&format!(
        "[SERVICE]\n    Flush 0.1\n[INPUT]\n    Name forward\n    Listen 127.0.0.1\n    Port {port}\n[OUTPUT]\n    Name file\n    \
         Match *\n    Path {{dir}}\n    File out\n"
    ))
}

fn lines(router: &Router) -> usize {
    std::fs::read_to_string(router.dir().join("out")).unwrap_or_default().lines().count()
}

/// Two servers take turns as `config` says, which names them `first` and `second` by `{1}` and `{2}`.
fn both_are_served(file: &str, config: &str) {
    let ports = [free_port(), free_port()];
    let servers = ports.map(server);
    let dir = Arc::new(TempDir::with_prefix("ik").unwrap());
    let fill = |text: &str| {
        let text = text.replace("{dir}", dir.path().to_str().unwrap());
        text.replace("{1}", &ports[0].to_string()).replace("{2}", &ports[1].to_string())
    };
    std::fs::write(dir.path().join(file), fill(config)).unwrap();
    let main = match file.ends_with(".yaml") {
        true => "@INCLUDE {dir}/group.yaml\n".to_owned(),
        false => "[SERVICE]\n    Flush 0.1\n[INPUT]\n    Name forward\n    unix_path {dir}/fluent.sock\n[OUTPUT]\n    Name forward\n    \
             Match *\n    Upstream {dir}/group.conf\n"
            .to_owned(),
    };
    let mut router = Router::start_in(dir.clone(), &main, &[]);
    let mut written = 0;
    while servers.iter().any(|server| lines(server) == 0) {
        Writer::connect(&router.socket(), "app", "a").write(10);
        written += 10;
        wait_for("the lines", || servers.iter().map(lines).sum::<usize>() == written);
    }
    assert_eq!(router.stop().code(), Some(0), "{}", router.log());
}

#[test]
fn a_group_in_a_file_of_its_own_is_served_in_turn() {
    both_are_served(
        "group.conf",
        "[UPSTREAM]\n    Name both\n[NODE]\n    Name first\n    Host 127.0.0.1\n    Port {1}\n[NODE]\n    Name second\n    \
         Host 127.0.0.1\n    Port {2}\n",
    );
}

#[test]
fn a_group_of_yaml_is_served_in_turn() {
    both_are_served(
        "group.yaml",
        "service:\n  flush: 0.1\nupstream_servers:\n  - name: both\n    nodes:\n      - name: first\n        host: 127.0.0.1\n        \
         port: {1}\n      - name: second\n        host: 127.0.0.1\n        port: {2}\npipeline:\n  inputs:\n    - name: forward\n      \
         unix_path: {dir}/fluent.sock\n  outputs:\n    - name: forward\n      match: '*'\n      upstream: both\n",
    );
}
