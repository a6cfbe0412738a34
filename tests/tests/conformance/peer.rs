//! Servers that are no service of AWS: one that takes HTTP bodies, one that takes Forward frames, each with faults on request.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ikada_localaws::{CutPoint, Down, When};
use ikada_msgpack::{View, skip, write};

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1 with `Content-Length`.
    Http,
    /// The Forward protocol with answers.
    Forward,
}

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Harm {
    /// HTTP only: this status, and this text.
    Status(u16, &'static str),
    /// The connection is cut.
    Cut(CutPoint),
    /// The answer comes so late.
    Late(Duration),
}

/// A running server. Its threads end with the process of the test.
pub(crate) struct Peer {
    pub(crate) port: u16,
    state: Arc<State>,
    protocol: Protocol,
}

#[derive(Default)]
struct State {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    rules: Vec<Rule>,
    numbers: HashMap<u64, u64>,
    out_of_order: u64,
    highest: Option<u64>,
    down: Option<Down>,
    open: Vec<TcpStream>,
}

struct Rule {
    harm: Harm,
    when: When,
    matched: u64,
    struck: u64,
}

/// What has become of the numbered records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) distinct: u64,
    pub(crate) duplicated: u64,
    pub(crate) out_of_order: u64,
}

impl Peer {
    pub(crate) fn start(protocol: Protocol) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let peer = Self { port, state, protocol };
        peer.listen(listener);
        peer
    }

    fn listen(&self, listener: TcpListener) {
        let (state, protocol) = (self.state.clone(), self.protocol);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let mut inner = state.lock();
                if inner.down == Some(Down::Refuse) {
                    // The call that woke this thread up; the port is free from here on.
                    return;
                }
                inner.open.push(stream.try_clone().unwrap());
                drop(inner);
                let state = state.clone();
                std::thread::spawn(move || serve(&state, protocol, stream));
            }
        });
    }

    pub(crate) fn harm(&self, harm: Harm, when: When) {
        self.state.lock().rules.push(Rule { harm, when, matched: 0, struck: 0 });
    }

    pub(crate) fn heal(&self) {
        self.state.lock().rules.clear();
    }

    pub(crate) fn struck(&self) -> u64 {
        self.state.lock().rules.iter().map(|rule| rule.struck).sum()
    }

    pub(crate) fn numbers(&self) -> Numbers {
        let inner = self.state.lock();
        Numbers {
            distinct: inner.numbers.len() as u64,
            duplicated: inner.numbers.values().map(|times| times - 1).sum(),
            out_of_order: inner.out_of_order,
        }
    }

    pub(crate) fn has(&self, number: u64) -> bool {
        self.state.lock().numbers.contains_key(&number)
    }

    /// Takes the server down. What is being read is never answered.
    pub(crate) fn down(&self, how: Down) {
        let mut inner = self.state.lock();
        inner.down = Some(how);
        if how == Down::Refuse {
            inner.close_all();
            drop(inner);
            drop(TcpStream::connect(("127.0.0.1", self.port)));
            // Refused only once the listener is gone.
            while TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Brings it up again, on the same port; connections from before are closed.
    pub(crate) fn up(&self) {
        let mut inner = self.state.lock();
        let was = inner.down.take();
        inner.close_all();
        drop(inner);
        if was == Some(Down::Refuse) {
            self.listen(TcpListener::bind(("127.0.0.1", self.port)).unwrap());
        }
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_black(&self) -> bool {
        self.lock().down == Some(Down::BlackHole)
    }
}

impl Inner {
    fn close_all(&mut self) {
        self.open.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }

    /// The harm that strikes this request: of all rules that apply the first.
    fn next_harm(&mut self) -> Option<Harm> {
        let mut found = None;
        for rule in &mut self.rules {
            rule.matched += 1;
            let strikes = match rule.when {
                When::Always => true,
                When::First(count) => rule.matched <= count,
                When::Every(step) => rule.matched.is_multiple_of(step),
                When::Nth(one) => rule.matched == one,
                When::Probability(_) => unreachable!("these servers throw no dice"),
            };
            if strikes && found.is_none() {
                rule.struck += 1;
                found = Some(rule.harm.clone());
            }
        }
        found
    }

    fn take(&mut self, body: &[u8]) {
        for number in numbers(body) {
            let times = self.numbers.entry(number).or_default();
            *times += 1;
            if *times == 1 {
                self.out_of_order += u64::from(self.highest.is_some_and(|highest| number < highest));
                self.highest = self.highest.max(Some(number));
            }
        }
    }
}

/// The numbers behind `seq=a:`.
fn numbers(body: &[u8]) -> Vec<u64> {
    let text = String::from_utf8_lossy(body);
    let number = |rest: &str| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().unwrap()
    };
    text.split("seq=a:").skip(1).map(number).collect()
}

/// One request as it was read: what it carries, and the answer to it.
struct Request {
    body: Vec<u8>,
    answer: Vec<u8>,
}

fn serve(state: &State, protocol: Protocol, mut stream: TcpStream) {
    let mut pending = Vec::new();
    loop {
        if !more(&mut stream, &mut pending) {
            return;
        }
        if state.is_black() {
            // Read on and say nothing until someone closes.
            while more(&mut stream, &mut Vec::new()) {}
            return;
        }
        let harm = state.lock().next_harm();
        if harm == Some(Harm::Cut(CutPoint::BeforeBody)) {
            return close(&stream);
        }
        let Some(request) = read(protocol, &mut stream, &mut pending) else { return };
        if state.is_black() {
            while more(&mut stream, &mut Vec::new()) {}
            return;
        }
        let answer = match harm {
            None => request.answer,
            Some(Harm::Late(pause)) => {
                std::thread::sleep(pause);
                request.answer
            }
            Some(Harm::Status(status, text)) => {
                let refusal = http_answer(status, text);
                if stream.write_all(&refusal).is_err() {
                    return;
                }
                continue;
            }
            Some(Harm::Cut(CutPoint::AfterBody)) => return close(&stream),
            Some(Harm::Cut(point)) => {
                state.lock().take(&request.body);
                if point == CutPoint::MidAnswer {
                    drop(stream.write_all(&request.answer[..request.answer.len() / 2]));
                }
                return close(&stream);
            }
        };
        state.lock().take(&request.body);
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}

fn close(stream: &TcpStream) {
    drop(stream.shutdown(Shutdown::Both));
}

/// Makes sure that there is something to look at; `false` at the end of the connection.
fn more(stream: &mut TcpStream, pending: &mut Vec<u8>) -> bool {
    !pending.is_empty() || read_some(stream, pending)
}

fn read_some(stream: &mut TcpStream, pending: &mut Vec<u8>) -> bool {
    let mut buf = vec![0; 256 * 1024];
    match stream.read(&mut buf) {
        Ok(n @ 1..) => {
            pending.extend_from_slice(&buf[..n]);
            true
        }
        _ => false,
    }
}

fn read(protocol: Protocol, stream: &mut TcpStream, pending: &mut Vec<u8>) -> Option<Request> {
    match protocol {
        Protocol::Http => read_http(stream, pending),
        Protocol::Forward => read_frame(stream, pending),
    }
}

fn read_http(stream: &mut TcpStream, pending: &mut Vec<u8>) -> Option<Request> {
    let head = loop {
        if let Some(at) = pending.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        read_some(stream, pending).then_some(())?;
    };
    let text = String::from_utf8_lossy(&pending[..head]).to_ascii_lowercase();
    let length = text.split("content-length:").nth(1)?.lines().next()?.trim().parse::<usize>().ok()?;
    while pending.len() < head + length {
        read_some(stream, pending).then_some(())?;
    }
    let body = pending[head..head + length].to_vec();
    pending.drain(..head + length);
    Some(Request { body, answer: http_answer(200, "ok") })
}

fn http_answer(status: u16, text: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n{text}", text.len()).into_bytes()
}

fn read_frame(stream: &mut TcpStream, pending: &mut Vec<u8>) -> Option<Request> {
    let length = loop {
        if let Ok(length) = skip(pending) {
            break length;
        }
        read_some(stream, pending).then_some(())?;
    };
    let body = pending[..length].to_vec();
    pending.drain(..length);
    let token = token(&body);
    let mut answer = Vec::new();
    if let Some(token) = token {
        write::map_header(&mut answer, 1);
        write::str(&mut answer, b"ack");
        write::str(&mut answer, &token);
    }
    Some(Request { body, answer })
}

/// The token that a frame asks to be answered with.
fn token(frame: &[u8]) -> Option<Vec<u8>> {
    let (view, _) = View::parse(frame).unwrap();
    let View::Array(parts) = view else { panic!("a frame is an array") };
    let option = parts.iter().last()?.as_map()?;
    Some(option.get(b"chunk")?.as_str()?.to_vec())
}
