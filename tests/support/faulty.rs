//! A server in front of the real API server: passes every GET on, and makes what happens to connections in the world happen.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use http::Request;
use http_body_util::BodyExt;
use kube::client::Body;
use tokio::runtime::Runtime;

use super::controlplane::ControlPlane;
use super::operator::as_admin;

/// What happens to a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is cut in the middle of a line, after a few.
    Cut,
    /// It is refused with 410.
    Gone,
    /// It ends with an ERROR line that says 410, after a few.
    Expired,
}

/// Runs until the test process ends.
pub struct Faulty {
    pub url: String,
    state: Arc<State>,
}

struct State {
    config: kube::Config,
    faults: Vec<Fault>,
    away: AtomicBool,
    watches: Mutex<BTreeMap<String, usize>>,
    happened: Mutex<Vec<Fault>>,
}

impl Faulty {
    /// In front of `server`, as admin. The watches of each kind suffer `faults`, one after the other and from the beginning again.
    pub fn start(server: &ControlPlane, faults: &[Fault]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            config: as_admin(server),
            faults: faults.to_vec(),
            away: AtomicBool::new(false),
            watches: Mutex::default(),
            happened: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    let client = {
                        let _guard = runtime.enter();
                        kube::Client::try_from(state.config.clone()).unwrap()
                    };
                    while state.serve(&stream, &runtime, &client).is_some() {}
                });
            }
        });
        Self { url, state }
    }

    /// While it is away, every connection ends at once, those that are open with their next line.
    pub fn set_away(&self, away: bool) {
        self.state.away.store(away, Ordering::SeqCst);
    }

    /// What has happened so far.
    pub fn happened(&self) -> Vec<Fault> {
        self.state.happened.lock().unwrap().clone()
    }
}

impl State {
    /// One request; `None` where the connection ends.
    fn serve(&self, stream: &TcpStream, runtime: &Runtime, client: &kube::Client) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut target = None;
        let mut accept = String::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            match line.split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("accept") => accept = value.to_string(),
                _ if target.is_none() => target = Some(line.split(' ').nth(1)?.to_string()),
                _ => {}
            }
        }
        if self.away.load(Ordering::SeqCst) {
            return None;
        }
        let target = target?;
        let fault = target.contains("watch=true").then(|| {
            let mut watches = self.watches.lock().unwrap();
            let number = watches.entry(target.split('?').next().unwrap().to_string()).or_default();
            *number += 1;
            self.faults.get((*number - 1) % self.faults.len().max(1)).copied()
        });
        let fault = fault.flatten();
        let happens = |fault: Fault| self.happened.lock().unwrap().push(fault);
        let mut writer = stream;
        const GONE: &str = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"too old","reason":"Expired","code":410}"#;
        if fault == Some(Fault::Gone) {
            happens(Fault::Gone);
            write!(
                writer,
                "HTTP/1.1 410 Gone\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{GONE}",
                GONE.len()
            )
            .ok()?;
            return Some(());
        }
        let request = Request::get(&target).header("accept", accept).body(Body::empty()).unwrap();
        let response = runtime.block_on(client.send(request)).ok()?;
        write!(
            writer,
            "HTTP/1.1 {} X\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
            response.status().as_u16()
        )
        .ok()?;
        let mut body = response.into_body();
        let mut lines = 0;
        while let Some(frame) = runtime.block_on(body.frame()) {
            if self.away.load(Ordering::SeqCst) {
                return None;
            }
            let Ok(data) = frame.ok()?.into_data() else { continue };
            lines += memchr::memchr_iter(b'\n', &data).count();
            if fault == Some(Fault::Cut) && lines > 3 {
                // In the middle of a line.
                happens(Fault::Cut);
                let half = &data[..data.len() / 2];
                write!(writer, "{:x}\r\n", half.len()).ok()?;
                writer.write_all(half).ok()?;
                return None;
            }
            write!(writer, "{:x}\r\n", data.len()).ok()?;
            writer.write_all(&data).ok()?;
            writer.write_all(b"\r\n").ok()?;
            if fault == Some(Fault::Expired) && lines > 5 && data.ends_with(b"\n") {
                happens(Fault::Expired);
                let line = format!("{{\"type\":\"ERROR\",\"object\":{GONE}}}\n");
                write!(writer, "{:x}\r\n{line}\r\n0\r\n\r\n", line.len()).ok()?;
                return Some(());
            }
        }
        writer.write_all(b"0\r\n\r\n").ok()
    }
}
