//! A small HTTP server that answers by path, and counts who asks for what.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Answers by `METHOD path`; whatever is not there is answered with 404.
type Answers = HashMap<String, String>;

/// The server. It ends with the process.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    answers: Arc<Mutex<Answers>>,
    asked: Arc<Mutex<Vec<String>>>,
    /// A token that every GET must show.
    token: Option<&'static str>,
}

impl Endpoint {
    pub(crate) fn start(token: Option<&'static str>, answers: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Self {
            address: listener.local_addr().unwrap(),
            answers: Arc::default(),
            asked: Arc::default(),
            token,
        };
        answers.iter().for_each(|(path, body)| endpoint.set(path, body));
        let server = endpoint.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                server.serve(&stream);
            }
        });
        endpoint
    }

    /// Answers this request so from now on.
    pub(crate) fn set(&self, request: &str, body: &str) {
        self.answers.lock().unwrap().insert(request.to_owned(), body.to_owned());
    }

    /// How often this was asked.
    pub(crate) fn count(&self, request: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|one| *one == request).count()
    }

    fn serve(&self, mut stream: &TcpStream) {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let Some(first) = lines.next() else { return };
        let headers: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
        let request = first.trim_end_matches(" HTTP/1.1").to_owned();
        let shown = headers.iter().find_map(|line| line.strip_prefix("x-aws-ec2-metadata-token: "));
        let (status, body) = match self.answers.lock().unwrap().get(&request) {
            _ if request.starts_with("GET") && shown != self.token => ("401 Unauthorized", String::new()),
            Some(body) => ("200 OK", body.clone()),
            None => ("404 Not Found", String::new()),
        };
        self.asked.lock().unwrap().push(request);
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap_or_default();
    }
}
