//! An output built from the text of a section, and the books.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ikada_diag::{Diagnostics, Sources, Spanned};
use ikada_options::{Options, OutputCommon, Property, PropertyBag};
use ikada_plugin::registry::BuildContext;
use ikada_plugin::{Batch, GroupServer, InstanceId, Kind, Outcome, Output, Routed, ServerGroups, Service};
use ikada_record::{ChunkBuilder, Ledger, Receipt, Share, Tag, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

/// A fact that does not come within this time never comes.
const NEVER: Duration = Duration::from_secs(20);

/// The output of these options, one a line, and what is said of them.
pub fn output(options: &str) -> (Option<Box<dyn Output>>, Vec<String>) {
    output_with(options, Service::default())
}

/// The same, with the group `all` of servers at these ports.
pub fn output_of_group(options: &str, ports: &[u16]) -> (Option<Box<dyn Output>>, Vec<String>) {
    let header = Sources::default().add("group.conf", "").span(0, 0);
    let server = |port: &u16| GroupServer {
        name: format!("n{port}"),
        host: "127.0.0.1".to_owned(),
        port: *port,
        bag: PropertyBag::new("node", header, Vec::new()),
    };
    let groups = HashMap::from([("all".to_owned(), ports.iter().map(server).collect())]);
    output_with(options, Service { groups: ServerGroups(Arc::new(groups)), ..Service::default() })
}

fn output_with(options: &str, service: Service) -> (Option<Box<dyn Output>>, Vec<String>) {
    let mut sources = Sources::default();
    let file = sources.add("a.conf", options);
    let (mut properties, mut at) = (Vec::new(), 0);
    for line in options.split_inclusive('\n') {
        let (key, value) = line.trim_end().split_once(' ').unwrap();
        let spanned = |start: usize, text: &str| {
            Spanned::new(text.to_owned(), file.span(at + start, at + start + text.len()))
        };
        properties.push(Property::new(spanned(0, key), spanned(key.len() + 1, value)));
        at += line.len();
    }
    let mut bag = PropertyBag::new("output forward", file.span(0, 0), properties);
    let mut found = Diagnostics::new();
    let common = OutputCommon::parse(&mut bag, &mut found).unwrap();
    let id =
        InstanceId { kind: Kind::Output, plugin: "forward".into(), name: "forward.0".into(), alias: None };
    let cx = BuildContext {
        id: Arc::new(id),
        service: Arc::new(service),
        tag: None,
        mem_buf_limit: None,
        net: Some(common.net),
        parsers: Default::default(),
        dry_run: false,
    };
    let plugin = &ikada_forward::outputs()[0];
    let built = (plugin.build)(&mut bag, &cx, &mut found);
    bag.finish(&[&(plugin.options)()], &mut found);
    (built, found.lines(&sources).collect())
}

/// An output and its books.
pub struct Rig {
    output: Box<dyn Output>,
    pub ledger: Arc<Ledger>,
}

impl Rig {
    pub fn new(options: &str) -> Self {
        Self::of(output(options))
    }

    /// An output to the servers at these ports.
    pub fn to_group(ports: &[u16]) -> Self {
        Self::of(output_of_group("upstream all", ports))
    }

    fn of((output, findings): (Option<Box<dyn Output>>, Vec<String>)) -> Self {
        assert_eq!(findings, Vec::<String>::new());
        Self { output: output.unwrap(), ledger: Arc::default() }
    }

    /// Hands over one chunk of encoded records, due now.
    pub fn push(&mut self, tag: &str, records: &[Vec<u8>]) {
        let mut builder = ChunkBuilder::new(Tag::from(tag));
        let time = Timestamp::new(1_700_000_000, 123_456_717);
        records.iter().for_each(|record| builder.push_record(time, record));
        self.push_chunk(builder);
    }

    pub fn push_chunk(&mut self, builder: ChunkBuilder) {
        let chunk = builder.finish(Receipt::unwatched());
        let share = Share::new(Receipt::unwatched(), chunk.len() as u32, self.ledger.clone());
        let now = Instant::now();
        self.output.push(Routed { chunk, share: Arc::new(share), due: now }, now);
    }

    /// All batches.
    pub fn close(&mut self) -> Vec<Batch> {
        self.output.close_all();
        let batches: Vec<_> = std::iter::from_fn(|| self.output.pop(Instant::now())).collect();
        assert_eq!(self.output.held(), 0);
        batches
    }

    /// Delivers everything, one batch after another, and says in words how each attempt went.
    pub async fn finish(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        for mut batch in self.close() {
            loop {
                let outcome = timeout(NEVER, batch.delivery.attempt()).await.expect("an outcome");
                assert!(words.len() < 50, "{words:?}");
                match outcome {
                    Outcome::Delivered => {
                        batch.parts.iter().for_each(|part| part.share.deliver(part.share.left()));
                        words.push("delivered".into());
                        break;
                    }
                    Outcome::Retry { cause, .. } => words.push(format!("again: {cause}")),
                    Outcome::Partial { retry, rejected, .. } => {
                        assert!(rejected.is_empty());
                        let all = batch.parts[0].share.left();
                        batch.parts[0].share.deliver(all - retry.len() as u32);
                        words.push(format!("in part: {} left", retry.len()));
                    }
                    Outcome::Rejected { .. } => panic!("{outcome:?}"),
                }
            }
        }
        assert_eq!((self.ledger.held(), self.ledger.abandoned()), (0, 0));
        words
    }
}

/// A server that says only what it is told to.
pub struct Server {
    listener: TcpListener,
    pub port: u16,
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { listener, port }
    }

    pub async fn accept(&self) -> TcpStream {
        timeout(NEVER, self.listener.accept()).await.expect("a connection").unwrap().0
    }
}

/// The next value that comes over a connection.
pub async fn value(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    timeout(NEVER, async {
        loop {
            bytes.push(stream.read_u8().await.unwrap());
            if ikada_msgpack::skip(&bytes) == Ok(bytes.len()) {
                return bytes;
            }
        }
    })
    .await
    .expect("a value")
}

/// Says something.
pub async fn say(stream: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
}
