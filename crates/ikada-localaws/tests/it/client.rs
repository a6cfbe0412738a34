//! A client that knows just enough HTTP/1.1 for these tests.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use ikada_localaws::{Config, LocalAws};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The name of the error in a JSON answer; empty if it is none.
    pub(crate) fn error(&self) -> String {
        let value: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        value["__type"].as_str().unwrap_or_default().to_owned()
    }

    /// The content of the first `<name>` element.
    pub(crate) fn element(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.text().split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0)
    }
}

/// What a client speaks through.
enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(stream) => stream.read(buffer),
            Wire::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(stream) => stream.write(bytes),
            Wire::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Wire::Plain(stream) => stream.flush(),
            Wire::Tls(stream) => stream.flush(),
        }
    }
}

/// A connection that is used for one request after another.
pub(crate) struct Client {
    stream: BufReader<Wire>,
    socket: TcpStream,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let socket = stream.try_clone()?;
        Ok(Client { stream: BufReader::new(Wire::Plain(stream)), socket })
    }

    /// Speaks TLS to `name`, trusting only the certificate in `pem`.
    pub(crate) fn tls(port: u16, name: &str, pem: &str) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let socket = stream.try_clone()?;
        let wire = Wire::Tls(Box::new(StreamOwned::new(session, stream)));
        Ok(Client { stream: BufReader::new(wire), socket })
    }

    pub(crate) fn to(aws: &LocalAws) -> Self {
        Client::connect(aws.http_addr()).unwrap()
    }

    /// Gives up waiting for an answer after this time.
    pub(crate) fn patience(&self, time: Duration) {
        self.socket.set_read_timeout(Some(time)).unwrap();
    }

    /// Waits until the server ends the connection; `false` if it sends something instead.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.stream.fill_buf().is_ok_and(<[u8]>::is_empty)
    }

    pub(crate) fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            head.push_str("host: localhost\r\n");
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !headers.iter().any(|(name, _)| *name == "content-length") {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        stream.flush()?;
        read_answer(&mut self.stream, method == "HEAD")
    }

    /// Sends a call of a JSON service.
    pub(crate) fn call(&mut self, target: &str, body: &str) -> io::Result<Answer> {
        let headers = [("x-amz-target", target), ("content-type", "application/x-amz-json-1.1")];
        self.send("POST", "/", &headers, body.as_bytes())
    }

    pub(crate) fn logs(&mut self, operation: &str, body: &str) -> Answer {
        self.call(&format!("Logs_20140328.{operation}"), body).unwrap()
    }

    pub(crate) fn firehose(&mut self, operation: &str, body: &str) -> Answer {
        self.call(&format!("Firehose_20150804.{operation}"), body).unwrap()
    }

    pub(crate) fn kinesis(&mut self, operation: &str, body: &str) -> Answer {
        self.call(&format!("Kinesis_20131202.{operation}"), body).unwrap()
    }

    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.send("GET", target, &[], b"").unwrap()
    }

    pub(crate) fn put(&mut self, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.send("PUT", target, headers, body).unwrap()
    }

    pub(crate) fn post(&mut self, target: &str, body: &str) -> Answer {
        self.send("POST", target, &[], body.as_bytes()).unwrap()
    }
}

/// Reads one answer from a stream.
pub(crate) fn read_answer(stream: &mut impl BufRead, is_head: bool) -> io::Result<Answer> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or("0", |(_, value)| value);
    let mut body = vec![0; if is_head { 0 } else { length.parse().unwrap() }];
    stream.read_exact(&mut body)?;
    Ok(Answer { status, headers, body })
}

/// A server that asks for no signatures.
pub(crate) fn start(config: Config) -> LocalAws {
    LocalAws::start(Config { require_auth: false, ..config }).unwrap()
}

/// A server with default settings, and a connection to it.
pub(crate) fn default() -> (LocalAws, Client) {
    let aws = start(Config::default());
    let client = Client::to(&aws);
    (aws, client)
}
