//! `ikada dlq`: what outputs refused, looked at, taken out, or sent anew.
//!
//! Dead letters lie below a directory, `outputs/NAME` for each output, as chunk files with a note beside each. `replay` first moves
//! them into `replaying/` there, so that a router that is running may go on writing; what is not taken comes back.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ikada_engine::{Engine, Storage};
use ikada_plugin::registry::Registry;
use ikada_record::json::{JsonStyle, write_record};
use ikada_store::chunks::{ChunkDir, Stored, Sync, note_path, read, transfer};

use crate::cli::Run;
use crate::run::{self, Exit};

/// How the command is used.
pub const USAGE: &str = "\
Usage: ikada dlq list|show|export|replay [-c FILE | --path DIR] [--output NAME]

  list     each file of dead letters: its output, records, bytes, reason and cause
  show     the records as JSON lines, with tag and time
  export   as `show`, with the output and the reason in each line
  replay   sends the records anew to the outputs of the configuration (-c); what is refused again comes back

  -c, --config FILE   the configuration whose dead letters are meant
  --path DIR          the directory of the dead letters (`storage.rejected.path`), or a copy of those in S3:
                      `aws s3 sync s3://BUCKET/PREFIX/HOST DIR`
  --output NAME       only those of this output
  --grace SECONDS     how long a replay may take (default 60)
";

/// How often a replay looks whether all is settled.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a replay leaves to the last attempts when its time is over.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    List,
    Show,
    Export,
    Replay,
}

#[derive(Debug, PartialEq)]
struct Args {
    verb: Verb,
    config: Option<PathBuf>,
    path: Option<PathBuf>,
    output: Option<String>,
    grace: Duration,
}

/// Runs the command with the words after `dlq`.
#[must_use]
pub fn main(words: &[String], registry: &Registry) -> Exit {
    let args = match parse(words) {
        Ok(args) => args,
        Err(wrong) => {
            complain(&format!("{wrong}\n\n{USAGE}"));
            return Exit::Config;
        }
    };
    let done = match args.verb {
        Verb::Replay => replay(&args, registry),
        _ => look(&args, registry),
    };
    done.unwrap_or_else(|failed| {
        complain(&format!("{failed:#}"));
        Exit::Config
    })
}

fn parse(words: &[String]) -> Result<Args, String> {
    let mut words = words.iter();
    let verb = match words.next().map(String::as_str) {
        Some("list") => Verb::List,
        Some("show") => Verb::Show,
        Some("export") => Verb::Export,
        Some("replay") => Verb::Replay,
        Some(other) => return Err(format!("`{other}` is none of list, show, export, replay")),
        None => return Err("say what to do: list, show, export or replay".to_owned()),
    };
    let grace = Duration::from_secs(60);
    let mut args = Args { verb, config: None, path: None, output: None, grace };
    while let Some(word) = words.next() {
        let mut value = || words.next().cloned().ok_or_else(|| format!("`{word}` needs a value"));
        match word.as_str() {
            "-c" | "--config" => args.config = Some(value()?.into()),
            "--path" => args.path = Some(value()?.into()),
            "--output" => args.output = Some(value()?),
            "--grace" => {
                let text = value()?;
                let seconds = text.parse().map_err(|_| format!("`{text}` is not a number of seconds"))?;
                args.grace = Duration::from_secs(seconds);
            }
            other => return Err(format!("there is no flag `{other}`")),
        }
    }
    match (&args.config, &args.path) {
        (None, None) => Err("say whose dead letters: -c FILE, or --path DIR".to_owned()),
        (None, Some(_)) if verb == Verb::Replay => {
            Err("a replay needs the configuration: -c FILE".to_owned())
        }
        _ => Ok(args),
    }
}

/// The directory, from the command line or the configuration.
fn place(args: &Args, registry: &Registry) -> anyhow::Result<PathBuf> {
    if let Some(path) = &args.path {
        return Ok(path.clone());
    }
    let run = Run { config: args.config.clone(), ..Run::default() };
    let (assembled, _) = run::assembled(&run, registry, true);
    let Some((path, _)) = assembled.pipeline.dead_letters else {
        anyhow::bail!(
            "this configuration keeps no dead letters: `storage.keep.rejected On` in [SERVICE] does"
        )
    };
    Ok(path)
}

/// The files of each output, oldest first.
fn files(place: &Path, only: Option<&str>) -> anyhow::Result<BTreeMap<String, Vec<Stored>>> {
    let mut all = BTreeMap::new();
    let outputs = match fs::read_dir(place.join("outputs")) {
        Ok(outputs) => outputs,
        Err(failed) if failed.kind() == std::io::ErrorKind::NotFound => return Ok(all),
        Err(failed) => return Err(failed.into()),
    };
    for output in outputs {
        let output = output?;
        let name = output.file_name().to_string_lossy().into_owned();
        if only.is_none_or(|only| only == name) && output.path().is_dir() {
            all.insert(name, ChunkDir::list(&output.path())?);
        }
    }
    Ok(all)
}

fn look(args: &Args, registry: &Registry) -> anyhow::Result<Exit> {
    let place = place(args, registry)?;
    let mut out = std::io::stdout().lock();
    let mut damaged = false;
    for (output, list) in files(&place, args.output.as_deref())? {
        let dir = place.join("outputs").join(&output);
        for stored in list {
            let note = fs::read_to_string(note_path(&dir, &stored)).unwrap_or_default();
            let note = note.trim();
            if args.verb == Verb::List {
                let (records, bytes, name) = (stored.entries(), stored.size(), stored.name());
                writeln!(out, "{output}  {name}  {records} records  {bytes} bytes  {note}")?;
                continue;
            }
            let chunk = match read(&dir, &stored) {
                Ok(chunk) => chunk,
                Err(failed) => {
                    complain(&format!("{}: {failed}", dir.join(stored.name()).display()));
                    damaged = true;
                    continue;
                }
            };
            let tag = String::from_utf8_lossy(chunk.tag().as_bytes()).into_owned();
            for entry in chunk.entries() {
                let mut line = format!(
                    "{{\"tag\":{},\"time\":{}.{:09},",
                    serde_json::Value::from(tag.as_str()),
                    entry.time().secs(),
                    entry.time().nanos()
                )
                .into_bytes();
                if args.verb == Verb::Export && !note.is_empty() {
                    write!(line, "\"dead_letter\":{note},")?;
                }
                line.extend_from_slice(b"\"record\":");
                write_record(&mut line, entry.record_bytes(), JsonStyle { escape_unicode: false });
                line.extend_from_slice(b"}\n");
                out.write_all(&line)?;
            }
        }
    }
    Ok(if damaged { Exit::Unsent } else { Exit::Clean })
}

fn replay(args: &Args, registry: &Registry) -> anyhow::Result<Exit> {
    let run = Run { config: args.config.clone(), ..Run::default() };
    let (mut assembled, sound) = run::assembled(&run, registry, false);
    anyhow::ensure!(sound, "the configuration has errors; `ikada -c FILE -D` lists them");
    let place = match (&args.path, &assembled.pipeline.dead_letters) {
        (Some(path), _) | (None, Some((path, _))) => path.clone(),
        (None, None) => anyhow::bail!(
            "this configuration keeps no dead letters: `storage.keep.rejected On` in [SERVICE] does"
        ),
    };
    let moved = place.join("replaying");
    let found = files(&place, args.output.as_deref())?;
    let known: Vec<_> = assembled.pipeline.outputs.iter().map(|slot| slot.id.clone()).collect();
    let mut records = 0u64;
    for (output, list) in &found {
        let dir = place.join("outputs").join(output);
        if !known.iter().any(|id| ikada_engine::directory_of(&place, id) == dir) {
            let count: u64 = list.iter().map(|stored| u64::from(stored.entries())).sum();
            complain(&format!("no output is named `{output}` any more: {count} records stay where they are"));
            continue;
        }
        for stored in list {
            transfer(&dir, &moved.join("outputs").join(output), stored)?;
            records += u64::from(stored.entries());
        }
    }
    assembled.pipeline.inputs.clear();
    assembled.pipeline.filters.clear();
    assembled.pipeline.storage = Some(Storage { path: moved.clone(), sync: Sync::Normal });
    // What is refused again comes back here, and is brought away by the router.
    (assembled.pipeline.dead_letters, assembled.pipeline.far_letters) =
        (Some((place.clone(), u64::MAX)), None);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let engine = Engine::start(assembled.pipeline).await?;
        let deadline = tokio::time::Instant::now() + args.grace;
        let is_settled =
            || engine.view().books().outputs.iter().all(|output| output.unsent + output.kept == 0);
        while !is_settled() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        anyhow::Ok(engine.drain(LAST_WORDS).await)
    });
    runtime.shutdown_timeout(Duration::from_millis(500));
    let mut kept = 0;
    for (output, list) in files(&moved, None)? {
        for stored in list {
            kept += u64::from(stored.entries());
            transfer(&moved.join("outputs").join(&output), &place.join("outputs").join(&output), &stored)?;
        }
    }
    // Notes of what was delivered, and empty directories.
    fs::remove_dir_all(&moved).ok();
    let report = report?;
    let sent: u64 = report.outputs.iter().map(|output| output.sent).sum();
    let refused: u64 = report.outputs.iter().flat_map(|output| &output.dropped).map(|(_, count)| count).sum();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{records} records: {sent} sent, {refused} refused again, {kept} not sent")?;
    Ok(if refused + kept > 0 { Exit::Unsent } else { Exit::Clean })
}

fn complain(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "error: {text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Args, String> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_command_says_what_is_missing() {
        assert_eq!(parsed("").unwrap_err(), "say what to do: list, show, export or replay");
        assert_eq!(parsed("list").unwrap_err(), "say whose dead letters: -c FILE, or --path DIR");
        assert_eq!(parsed("replay --path x").unwrap_err(), "a replay needs the configuration: -c FILE");
        assert_eq!(parsed("list --path").unwrap_err(), "`--path` needs a value");
        let args = parsed("replay -c a.conf --output s3.0 --grace 5").unwrap();
        assert_eq!(
            (args.verb, args.output.as_deref(), args.grace.as_secs()),
            (Verb::Replay, Some("s3.0"), 5)
        );
    }
}
