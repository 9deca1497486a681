//! A plain HTTP way to a real API server (`kubectl proxy`) with somebody in between who stops at the n-th request that writes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use super::controlplane::ControlPlane;

/// Where to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Before the n-th write (from 0) reaches the server.
    Before(usize),
    /// After the server has carried it out, before anybody hears of it.
    After(usize),
}

/// What to do when the test says go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// As if nothing had been.
    GoOn,
    /// Close this connection, and every one that comes after it.
    GoAway,
    /// Answer with a web page, without asking the server.
    Nonsense,
}

pub struct Proxy {
    pub url: String,
    /// Says that a write has reached the place.
    reached: Receiver<()>,
    go: Sender<Then>,
    kubectl: Child,
}

struct State {
    at: Option<At>,
    writes: usize,
    away: bool,
}

impl Proxy {
    pub fn start(server: &ControlPlane, at: Option<At>) -> Self {
        let mut kubectl = server
            .kubectl_command("admin")
            .args(["proxy", "--port=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // `Starting to serve on 127.0.0.1:34567`
        let mut line = String::new();
        BufReader::new(kubectl.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let upstream = line.trim().rsplit(' ').next().unwrap().to_string();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, reached) = channel();
        let (go, wait) = channel();
        let shared = Arc::new((Mutex::new(State { at, writes: 0, away: false }), Mutex::new(tell), Mutex::new(wait)));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (upstream, shared) = (upstream.clone(), Arc::clone(&shared));
                std::thread::spawn(move || serve(client, &upstream, &shared));
            }
        });
        Self { url, reached, go, kubectl }
    }

    /// Waits until a write has come to the place; what `then` says happens afterwards to whoever sent it.
    pub fn when_reached(&self, act: impl FnOnce(), then: Then) {
        self.reached.recv_timeout(std::time::Duration::from_secs(60)).expect("the write never came");
        act();
        self.go.send(then).unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}

type Shared = (Mutex<State>, Mutex<Sender<()>>, Mutex<Receiver<Then>>);

fn serve(client: TcpStream, upstream: &str, shared: &Shared) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
        // kubectl proxy asks for a host of its own; one request a connection keeps this simple.
        if !lower.starts_with("host:") && !lower.starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let first = head.lines().next()?.to_string();
    // The options of a deletion stand in its body.
    let is_dry = first.contains("dryRun=") || String::from_utf8_lossy(&body).contains("\"dryRun\":[\"All\"]");
    let is_write = !first.starts_with("GET ") && !is_dry;
    let (is_before, is_after) = {
        let mut state = shared.0.lock().unwrap();
        if state.away {
            return None;
        }
        let number = state.writes;
        state.writes += usize::from(is_write);
        let is = |at: At| is_write && state.at == Some(at);
        (is(At::Before(number)), is(At::After(number)))
    };
    let stop = || -> Then {
        let _ = shared.1.lock().unwrap().send(());
        let then = shared.2.lock().unwrap().recv().unwrap_or(Then::GoAway);
        shared.0.lock().unwrap().away = then == Then::GoAway;
        then
    };
    let mut client = client;
    if is_before {
        match stop() {
            Then::GoOn => {}
            Then::GoAway => return None,
            Then::Nonsense => {
                let page = "<html><body>Sign in, please</body></html>";
                write!(client, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}", page.len())
                    .ok()?;
                return None;
            }
        }
    }
    let mut server = TcpStream::connect(upstream).ok()?;
    write!(server, "{head}host: {upstream}\r\nconnection: close\r\n\r\n").ok()?;
    server.write_all(&body).ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).ok()?;
    if is_after && stop() == Then::GoAway {
        return None;
    }
    client.write_all(&answer).ok()?;
    let _ = client.shutdown(Shutdown::Write);
    Some(())
}
