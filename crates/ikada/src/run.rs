//! Load, check, run, stop.

use std::sync::Arc;
use std::time::Duration;

use ikada_config::{Loaded, ServiceOptions};
use ikada_engine::{Engine, Report};
use ikada_options::LogLevel;
use ikada_plugin::registry::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::assemble::{Assembled, assemble};
use crate::banner::Banner;
use crate::cli::Run;
use crate::grace::{self, Allowed};
use crate::http::{self, Admin, HealthRules};
use crate::load::load;
use crate::{checks, holding, lenient, log, render};

/// How a run ended: the process's exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything was delivered or dropped with a reason.
    Clean = 0,
    /// The configuration or the command line is wrong.
    Config = 1,
    /// Records were left unsent at the stop, or an input or output ended in a bug.
    Unsent = 2,
    /// An input, the HTTP server or the working directory failed at start.
    Start = 255,
}

/// Runs the program as the command line says.
pub fn run(args: &Run, registry: &Registry) -> Exit {
    ikada_engine::watch_for_bugs();
    if let Some(dir) = &args.workdir
        && let Err(failed) = std::env::set_current_dir(dir)
    {
        error!("could not change to the directory {}: {failed}", dir.display());
        return Exit::Start;
    }
    let (mut loaded, init) = load(args);
    checks::unreadable_paths(&mut loaded, init.files());
    let assembled = assemble(&mut loaded, registry, args.dry_run);
    configure_log(args, &assembled);
    // Findings go to stderr directly: lines that came before stand before them.
    log::flush();
    render::findings(&loaded.diagnostics, &loaded.sources);
    for line in Banner::of(&loaded, init.sources()).lines() {
        info!("[config] {line}");
    }
    info!("[storage] {}", holding::told(&assembled.pipeline));
    for ignored in args.words.iter().chain(&args.ignored) {
        warn!("[config] `{ignored}` on the command line has no meaning here");
    }
    if !args.plugins.is_empty() {
        info!(
            "[config] plugins named with -e are not loaded: what the AWS image's shared objects do is built in"
        );
    }
    if loaded.diagnostics.has_errors() && !lenient::lets_pass(&loaded.diagnostics) {
        error!("configuration file contains errors, aborting.");
        return Exit::Config;
    }
    if args.dry_run {
        say("configuration test is successful");
        return Exit::Clean;
    }
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("ikada")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(failed) => {
            error!("the runtime could not start: {failed}");
            return Exit::Start;
        }
    };
    let exit = runtime.block_on(serve(assembled, registry, &loaded));
    // A blocked write to a dead terminal or pipe must not keep the process from ending.
    runtime.shutdown_timeout(Duration::from_millis(100));
    exit
}

/// The pipeline of a configuration, for commands beside a run, and whether nothing in it is wrong. Findings are printed if something is.
pub(crate) fn assembled(args: &Run, registry: &Registry, dry_run: bool) -> (Assembled, bool) {
    let (mut loaded, _) = load(args);
    let assembled = assemble(&mut loaded, registry, dry_run);
    let sound = !loaded.diagnostics.has_errors();
    if !sound {
        render::findings(&loaded.diagnostics, &loaded.sources);
    }
    (assembled, sound)
}

fn configure_log(args: &Run, assembled: &Assembled) {
    let written = match std::env::var("FLB_LOG_LEVEL").ok().and_then(|text| level_named(&text)) {
        Some(level) => level,
        None => assembled.service.log_level,
    };
    let level = match (args.quiet, args.verbose) {
        (true, _) => LogLevel::Off,
        (false, 0) => written,
        (false, 1) => LogLevel::Debug,
        (false, _) => LogLevel::Trace,
    };
    let file = assembled.service.log_file.as_ref().map(|file| file.value.as_path());
    log::configure(level, assembled.levels.clone(), args.log_file.as_deref().or(file));
}

fn level_named(text: &str) -> Option<LogLevel> {
    <LogLevel as ikada_options::OptionValue>::parse_value(text).ok()
}

async fn serve(assembled: Assembled, registry: &Registry, loaded: &Loaded) -> Exit {
    let Assembled { pipeline, service, .. } = assembled;
    let grace = allowed(&service, loaded);
    // Installed before anything listens: a stop that comes early is a stop all the same.
    let stop = stop_signal();
    info!("[ikada] version={}, pid={}", env!("CARGO_PKG_VERSION"), std::process::id());
    // Bound before any input takes a record that could not be delivered any more.
    let listener = match bind(&service).await {
        Ok(listener) => listener,
        Err(failed) => {
            let (address, port) = (&service.http_listen, service.http_port);
            error!("[http_server] could not listen on {address}:{port}: {failed}");
            return Exit::Start;
        }
    };
    let engine = match Engine::start(pipeline).await {
        Ok(engine) => engine,
        Err(failed) => {
            let cause = std::error::Error::source(&failed).map(chain).unwrap_or_default();
            error!(instance = %failed.id, "{cause}");
            error!("[engine] input initialization failed");
            return Exit::Start;
        }
    };
    let admin_stop = CancellationToken::new();
    let admin = listener.map(|listener| {
        info!("[http_server] listen iface={} tcp_port={}", service.http_listen, service.http_port);
        let admin: Arc<Admin> = Admin::new(engine.view(), names(registry), health_rules(&service));
        tokio::spawn(admin.serve(listener, admin_stop.clone()))
    });
    let is_bounded = grace.is_bounded();
    let shown = if is_bounded { grace.time().as_secs().to_string() } else { "-1".to_owned() };
    info!("[engine] Shutdown Grace Period={shown}, Shutdown Input Grace Period={shown}");
    let quit = engine.quit();
    tokio::select! {
        name = stop => say(&format!("[engine] caught signal ({name})")),
        () = quit.cancelled() => {}
    }
    if is_bounded {
        warn!("[engine] service will shutdown in max {shown} seconds");
    } else {
        warn!("[engine] service will shutdown when all remaining tasks are flushed");
    }
    info!("[engine] pausing all inputs..");
    let report = engine.drain(grace.time()).await;
    admin_stop.cancel();
    if let Some(admin) = admin {
        admin.abort();
    }
    tell(&report)
}

/// How long the stop may take.
fn allowed(service: &ServiceOptions, loaded: &Loaded) -> Allowed {
    let variable = std::env::var(grace::VARIABLE).ok();
    let written = loaded.document.sets_service("grace").then_some(service.grace);
    let (allowed, said) = Allowed::of(written, variable.as_deref());
    if let Err(wrong) = said {
        warn!("[engine] {wrong}");
    }
    allowed
}

/// The HTTP server's socket, if there is to be one.
async fn bind(service: &ServiceOptions) -> std::io::Result<Option<TcpListener>> {
    if !service.http_server {
        return Ok(None);
    }
    http::bind(&service.http_listen, service.http_port).await.map(Some)
}

fn health_rules(service: &ServiceOptions) -> HealthRules {
    HealthRules {
        errors: service.hc_errors_count,
        retry_failures: service.hc_retry_failure_count,
        period: Duration::from_secs(service.hc_period),
        on: service.health_check,
    }
}

fn names(registry: &Registry) -> [Vec<&'static str>; 3] {
    [
        registry.inputs.iter().map(|plugin| plugin.name).collect(),
        registry.filters.iter().map(|plugin| plugin.name).collect(),
        registry.outputs.iter().map(|plugin| plugin.name).collect(),
    ]
}

/// Resolves with the name of the first signal that asks the process to stop. Later ones have no further effect.
fn stop_signal() -> impl Future<Output = &'static str> {
    let kinds = [
        ("SIGTERM", SignalKind::terminate()),
        ("SIGINT", SignalKind::interrupt()),
        ("SIGQUIT", SignalKind::quit()),
    ];
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    for (name, kind) in kinds {
        match signal(kind) {
            Ok(mut signals) => {
                let sender = sender.clone();
                tokio::spawn(async move {
                    while signals.recv().await.is_some() {
                        // A full channel holds the first signal, which is all that counts.
                        sender.try_send(name).ok();
                    }
                });
            }
            Err(failed) => error!("[engine] {name} cannot be caught: {failed}"),
        }
    }
    if let Ok(mut hangups) = signal(SignalKind::hangup()) {
        tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                warn!("[reload] hot reloading is not enabled");
            }
        });
    }
    async move {
        match receiver.recv().await {
            Some(name) => name,
            None => std::future::pending().await,
        }
    }
}

/// The last lines: what each input read, and what became of it at each output.
fn tell(report: &Report) -> Exit {
    for input in &report.inputs {
        let (records, unsent) = (input.records, input.unsent);
        let (filtered, unmatched) = (input.filtered, input.unmatched);
        let mut text = format!("read={records}, unsent={unsent}, filtered={filtered}, unmatched={unmatched}");
        if input.added > 0 {
            text.push_str(&format!(", added={}", input.added));
        }
        if unsent > 0 {
            error!(instance = %input.id, "{text}");
        } else {
            info!(instance = %input.id, "{text}");
        }
    }
    for output in &report.outputs {
        let total: u64 = output.dropped.iter().map(|(_, count)| count).sum();
        let mut text = format!("sent={}, unsent={}, dropped={total}", output.sent, output.unsent);
        if output.kept > 0 {
            text.push_str(&format!(", on_disk={}", output.kept));
        }
        for (reason, count) in &output.dropped {
            text.push_str(&format!(", {reason}={count}"));
        }
        if output.unsent + total > 0 {
            error!(instance = %output.id, "{text}");
        } else {
            info!(instance = %output.id, "{text}");
        }
    }
    if report.receipts_lost > 0 {
        error!("[engine] {} receipts were lost: this is a bug in Ikada", report.receipts_lost);
    }
    if report.bugs > 0 {
        error!("[engine] {} inputs or outputs ended in a bug of Ikada", report.bugs);
    }
    info!("[engine] service has stopped ({} records unsent)", report.unsent());
    if report.is_clean() { Exit::Clean } else { Exit::Unsent }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

/// A line of the program itself, without a level.
fn say(text: &str) {
    let stamp = chrono::Local::now().format("%Y/%m/%d %H:%M:%S");
    log::say(format!("[{stamp}] {text}\n"));
}
