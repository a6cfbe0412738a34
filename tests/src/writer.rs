//! A client on the router's unix socket that writes what Docker's fluentd log driver writes.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use ikada_forward::client::{FrameOption, encode_message};
use ikada_msgpack::{View, skip, write};
use ikada_record::Timestamp;

/// One connection that numbers what it writes.
pub struct Writer {
    socket: UnixStream,
    tag: Vec<u8>,
    client: String,
    next: u64,
    answers: Vec<u8>,
}

/// The record of one line, as the driver builds it: four strings.
pub fn docker_record(log: &str) -> Vec<u8> {
    let mut record = Vec::with_capacity(log.len() + 160);
    write::map_header(&mut record, 4);
    for (key, value) in [
        ("container_id", "8b1f3f5f8a1b4b6e8c5d0e3a9f7c2d4e6b8a1c3e5f7092b4d6f8a0c2e4f60718"),
        ("container_name", "/ecs-app-1-app-c0ffee"),
        ("source", "stdout"),
        ("log", log),
    ] {
        write::str(&mut record, key.as_bytes());
        write::str(&mut record, value.as_bytes());
    }
    record
}

/// A configuration as the ECS agent generates it for one container whose logs go to `output` (its lines, indented).
pub fn firelens_config(output: &str) -> String {
    format!(
        "\n[INPUT]\n    Name forward\n    Mem_Buf_Limit 50MB\n    unix_path {{dir}}/fluent.sock\n\n[FILTER]\n    Name record_modifier\n    \
         Match *\n    Record ecs_cluster test\n    Record ecs_task_arn arn:aws:ecs:ap-northeast-1:123456789012:task/test/0123\n    \
         Record ecs_task_definition web:1\n\n[OUTPUT]\n{output}    Match app-firelens*\n"
    )
}

impl Writer {
    /// Connects. Numbers start at 0 for each client name.
    pub fn connect(socket: &Path, tag: &str, client: &str) -> Self {
        Self::connect_from(socket, tag, client, 0)
    }

    /// Connects; numbers go on from `next`.
    pub fn connect_from(socket: &Path, tag: &str, client: &str, next: u64) -> Self {
        Self {
            socket: UnixStream::connect(socket).unwrap(),
            tag: tag.as_bytes().to_vec(),
            client: client.to_owned(),
            next,
            answers: Vec::new(),
        }
    }

    /// How many messages were written whole.
    pub fn written(&self) -> u64 {
        self.next
    }

    fn frame(&self, buf: &mut Vec<u8>, number: u64, chunk: Option<&[u8]>) {
        let log = format!(
            "{{\"level\":\"info\",\"seq\":\"seq={}:{number}\",\"msg\":\"request served in 12 ms\",\"path\":\"/api/v1/items\"}}",
            self.client
        );
        let time = Timestamp::new(now() as i64, (number % 1_000_000_000) as u32);
        let option = FrameOption { chunk, ..FrameOption::default() };
        encode_message(buf, &self.tag, time, &docker_record(&log), &option);
    }

    /// Writes `count` messages as fast as the socket takes them, many to a write.
    pub fn write(&mut self, count: u64) {
        let last = self.next + count;
        let mut buf = Vec::with_capacity(80 * 1024);
        while self.next < last {
            buf.clear();
            while self.next < last && buf.len() < 64 * 1024 {
                self.frame(&mut buf, self.next, None);
                self.next += 1;
            }
            self.socket.write_all(&buf).unwrap();
        }
    }

    /// Writes messages one by one until the other side closes, as Docker's driver does; those that were written whole are
    /// counted, the one that failed is not.
    pub fn write_until_closed(&mut self) {
        let mut buf = Vec::new();
        loop {
            buf.clear();
            self.frame(&mut buf, self.next, None);
            match self.socket.write_all(&buf) {
                Ok(()) => self.next += 1,
                Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                    return;
                }
                Err(error) => panic!("write: {error}"),
            }
        }
    }

    /// Writes one message and asks for an ack with the message's number as its token.
    pub fn write_asking(&mut self) {
        self.try_write_asking().unwrap();
    }

    /// The same where the other side may be gone; a message that failed is not counted.
    ///
    /// # Errors
    /// The other side has closed.
    pub fn try_write_asking(&mut self) -> std::io::Result<()> {
        let mut buf = Vec::new();
        self.frame(&mut buf, self.next, Some(self.next.to_string().as_bytes()));
        self.socket.write_all(&buf)?;
        self.next += 1;
        Ok(())
    }

    /// Writes raw bytes.
    pub fn write_raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Another handle of the connection, to read acks in a thread of their own.
    pub fn reader(&self) -> Self {
        Self {
            socket: self.socket.try_clone().unwrap(),
            tag: self.tag.clone(),
            client: self.client.clone(),
            next: 0,
            answers: Vec::new(),
        }
    }

    /// Waits for the next ack and returns its token's number; `None` when the other side has closed.
    pub fn read_ack(&mut self) -> Option<u64> {
        loop {
            if let Ok(len) = skip(&self.answers) {
                let (view, _) = View::parse(&self.answers).unwrap();
                let token = view.as_map().unwrap().get(b"ack").unwrap().as_str().unwrap().to_vec();
                self.answers.drain(..len);
                return Some(String::from_utf8(token).unwrap().parse().unwrap());
            }
            let mut buf = [0; 4096];
            match self.socket.read(&mut buf) {
                Ok(0) => return None,
                Ok(n) => self.answers.extend_from_slice(&buf[..n]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("read: {error}"),
            }
        }
    }

    /// Waits until the other side closes the connection.
    pub fn wait_closed(&mut self) {
        let mut buf = [0; 4096];
        while let Ok(1..) = self.socket.read(&mut buf) {}
    }
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
