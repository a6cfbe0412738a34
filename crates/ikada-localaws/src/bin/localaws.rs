//! The local AWS as a program of its own.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use ikada_localaws::{Config, Keep, LocalAws};

/// Stands in for S3, Firehose, Kinesis, CloudWatch Logs, STS and the metadata endpoints on loopback.
///
/// Prints one line of JSON with its ports when it is ready, and runs until it is killed. `GET /_localaws/report` on
/// the admin port tells what was delivered.
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// Port for plain HTTP; 0 takes any free one.
    #[arg(long, default_value_t = 0)]
    http_port: u16,
    /// Port for HTTPS; 0 takes any free one.
    #[arg(long, default_value_t = 0)]
    https_port: u16,
    /// Port for `/_localaws/…` alone; 0 takes any free one.
    #[arg(long, default_value_t = 0)]
    admin_port: u16,
    /// File to write the certificate to that clients must trust.
    #[arg(long)]
    ca_file: Option<PathBuf>,
    /// Whether delivered content is kept.
    #[arg(long, value_enum, default_value_t = KeepFlag::None)]
    keep: KeepFlag,
    /// Most bytes of content that are kept.
    #[arg(long, default_value_t = 1 << 30)]
    keep_limit: u64,
    /// Creates no stream or bucket by itself.
    #[arg(long)]
    strict: bool,
    /// Creates log groups and streams too when they are first written to.
    #[arg(long, conflicts_with = "strict")]
    auto_create_logs: bool,
    /// Does not look for sequence numbers.
    #[arg(long)]
    no_sequences: bool,
    /// Takes requests without a signature.
    #[arg(long)]
    no_auth: bool,
    /// Seed of every random decision.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads that serve.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KeepFlag {
    None,
    All,
}

impl Flags {
    fn into_config(self) -> Config {
        let base = if self.keep == KeepFlag::All { Config::default() } else { Config::for_benchmark() };
        let mut config = Config {
            http_port: Some(self.http_port),
            https_port: Some(self.https_port),
            admin_port: Some(self.admin_port),
            ca_file: self.ca_file,
            keep: if self.keep == KeepFlag::All { Keep::All } else { Keep::None },
            keep_limit: self.keep_limit,
            sequences: !self.no_sequences,
            require_auth: !self.no_auth,
            seed: self.seed,
            threads: self.threads,
            ..base
        };
        config.auto_create.log_streams = self.auto_create_logs;
        if self.strict { config.strict() } else { config }
    }
}

fn main() -> ExitCode {
    match run(Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

/// Writes an error and its causes as one line.
fn report(error: &dyn std::error::Error) {
    let mut line = format!("localaws: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        line.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    writeln!(std::io::stderr(), "{line}").ok();
}

fn run(flags: Flags) -> Result<(), Box<dyn std::error::Error>> {
    let aws = LocalAws::start(flags.into_config())?;
    let (http, https, admin) = (aws.http_port(), aws.https_port(), aws.admin_port());
    let ready = serde_json::json!({ "http_port": http, "https_port": https, "admin_port": admin });
    let mut out = std::io::stdout();
    writeln!(out, "{ready}")?;
    out.flush()?;
    loop {
        std::thread::park();
    }
}
