//! A tiny HTTP/1.1 server that says what a test wants, faults included.

#![allow(dead_code)]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What was asked.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET`, `CONNECT`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Lower-case names.
    pub headers: Vec<(String, String)>,
    /// How often this target was asked for before.
    pub before: usize,
}

impl Request {
    /// Without the query.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }

    /// A query parameter, as it stands in the URL.
    pub fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// All values of a header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// What to say.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Say only so much of the body and close the connection.
    pub cut_after: Option<usize>,
    /// Wait in the middle of the body.
    pub stall: Option<Duration>,
}

impl Response {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), cut_after: None, stall: None }
    }

    pub fn json(value: serde_json::Value) -> Self {
        Self::new(200, value.to_string()).with("content-type", "application/json")
    }

    /// A `Status`, as the API server says no.
    pub fn status(code: u16, message: &str) -> Self {
        let status = serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code});
        Self::new(code, status.to_string()).with("content-type", "application/json")
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.cut_after = Some(bytes);
        self
    }

    pub fn stall(mut self, time: Duration) -> Self {
        self.stall = Some(time);
        self
    }
}

/// Runs until the test process ends.
pub struct Server {
    pub url: String,
    pub port: u16,
    log: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(handler: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (handler, kept) = (Arc::new(handler), log.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (handler, log) = (handler.clone(), log.clone());
                std::thread::spawn(move || serve(stream, &*handler, &log));
            }
        });
        Self { url: format!("http://127.0.0.1:{port}"), port, log: kept }
    }

    /// Everything that was asked so far, in the order of arrival.
    pub fn log(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }

    /// The paths that were asked for, sorted, each once.
    pub fn paths(&self) -> Vec<String> {
        let paths: std::collections::BTreeSet<String> =
            self.log().iter().map(|request| request.path().to_string()).collect();
        paths.into_iter().collect()
    }
}

fn serve(stream: TcpStream, handler: &dyn Fn(&Request) -> Response, log: &Mutex<Vec<Request>>) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(_) => {
                    // What Go says to a TLS handshake.
                    let _ = writer.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTPS request\n");
                    return None;
                }
            }
            let line = line.trim_end().to_string();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let mut words = lines.first()?.split(' ');
        let mut request =
            Request { method: words.next()?.to_string(), target: words.next()?.to_string(), ..Request::default() };
        for line in &lines[1..] {
            let (name, value) = line.split_once(':')?;
            request.headers.push((name.to_ascii_lowercase(), value.trim().to_string()));
        }
        {
            let mut log = log.lock().unwrap();
            request.before = log.iter().filter(|earlier| earlier.target == request.target).count();
            log.push(request.clone());
        }
        let response = handler(&request);
        write!(writer, "HTTP/1.1 {} Whatever\r\ncontent-length: {}\r\n", response.status, response.body.len()).ok()?;
        for (name, value) in &response.headers {
            write!(writer, "{name}: {value}\r\n").ok()?;
        }
        writer.write_all(b"\r\n").ok()?;
        let middle = response.cut_after.unwrap_or(response.body.len() / 2);
        writer.write_all(&response.body[..middle]).ok()?;
        writer.flush().ok()?;
        if response.cut_after.is_some() {
            return None;
        }
        if let Some(time) = response.stall {
            std::thread::sleep(time);
        }
        writer.write_all(&response.body[middle..]).ok()?;
        writer.flush().ok()?;
    }
}
