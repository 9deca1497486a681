//! One request and everything that can go wrong with it: an answer, or an error that says what to do. A watch is a GET whose answer
//! does not end.

use std::error::Error as StdError;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER, USER_AGENT, WARNING};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::{Connection, client, plain};
use crate::error::{Error, Result};

/// Requests under way at once; `kube` speaks HTTP/1.1, so each has a connection and a TLS handshake of its own.
const LANES: usize = 8;
/// Times that one request is sent.
const ATTEMPTS: u32 = 5;
/// Doubled after each attempt that the server gave no Retry-After for.
const BACK_OFF: Duration = Duration::from_millis(100);
/// What one request may wait for a busy server altogether.
const MOST_WAITING: Duration = Duration::from_secs(60);
/// One answer, unpacked.
const MAX_BODY: usize = 64 << 20;
/// How long a stream may take to begin.
const OPEN_TIME_LIMIT: Duration = Duration::from_secs(30);
/// What is read of the body of a stream that does not begin.
const MAX_REFUSAL: usize = 64 << 10;
/// One line of a stream: no object of the API is larger than etcd takes, twice for what JSON escapes.
const MAX_LINE: usize = 8 << 20;
/// All answers together, unpacked.
const MAX_TOTAL: u64 = 1 << 30;
/// How the server begins where a manifest does not fit the kind's schema.
pub(super) const UNTYPED: &str = "failed to create typed patch object";
/// Warnings of the server that are kept.
const MAX_WARNINGS: usize = 50;

/// What the server said.
#[derive(Debug)]
pub(super) enum Answer {
    /// 200, and a body that begins like JSON.
    Found(Vec<u8>),
    /// 404.
    NotFound(Status),
    /// 403; the server's words.
    Forbidden(String),
    /// 410: a `continue` that is too old.
    Gone,
    /// More than fits; a smaller page may.
    TooLarge,
}

/// What the server said to a request that writes.
#[derive(Debug)]
pub(super) enum WriteAnswer {
    /// 200, 201 or 202: the object as it is now, or a `Status`.
    Done(Vec<u8>),
    /// It will not, with any other status than those that are errors whatever is asked for.
    Refused(StatusCode, Status),
}

/// A request that writes. Each can be sent again without doing harm; what a second one finds is for the caller to judge.
pub(super) struct Write<'a> {
    pub method: Method,
    pub path: &'a str,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

/// The API's own way of saying no.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    kind: String,
    message: Option<String>,
    pub details: Option<StatusDetails>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StatusDetails {
    pub name: Option<String>,
    pub kind: Option<String>,
    pub causes: Option<Vec<StatusCause>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StatusCause {
    pub reason: Option<String>,
    pub message: Option<String>,
    pub field: Option<String>,
}

impl Status {
    /// Whether it is the object of that name that is missing, not its kind.
    pub fn misses_object(&self, name: &str) -> bool {
        self.details.as_ref().and_then(|details| details.name.as_deref()) == Some(name)
    }

    /// Its words, on one line.
    pub fn message(&self) -> String {
        plain(self.message.as_deref().unwrap_or_default(), 500)
    }
}

/// What is sent.
struct Call<'a> {
    method: &'a Method,
    path: &'a str,
    accept: &'a str,
    body: Option<(&'static str, &'a [u8])>,
}

impl Call<'_> {
    /// `GET /apis/…`, for messages.
    fn name(&self) -> String {
        format!("{} {}", self.method, bare(self.path))
    }
}

/// A client with its limits and what it has gathered so far.
pub(super) struct Session {
    client: kube::Client,
    server: String,
    plugin: Option<String>,
    anonymous: bool,
    request_timeout: Option<Duration>,
    lanes: Semaphore,
    received: AtomicU64,
    warnings: Mutex<Vec<String>>,
}

/// One reply, whatever its status.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// An answer that is still coming.
pub(super) struct Stream {
    body: Body,
    /// What came behind the last whole line.
    rest: Vec<u8>,
}

/// What a stream came to.
#[derive(Debug)]
pub(super) enum Line {
    /// One, without its end.
    Text(Vec<u8>),
    /// The server has said all that it wanted to.
    End,
    /// The connection broke, or was silent for too long; half a sentence.
    Broken(String),
}

/// Why a stream did not begin.
#[derive(Debug)]
pub(super) enum NoStream {
    /// It may begin later; half a sentence, and what the server asks to wait.
    Passing(String, Option<Duration>),
    /// 410.
    Gone,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// It never will.
    Error(Error),
}

enum Failure {
    TimedOut,
    TooLarge,
    Broken(Box<dyn StdError + Send + Sync>),
}

impl Session {
    /// Must be called within a runtime. Sends nothing yet.
    pub fn new(connection: &Connection) -> Result<Self> {
        let client = client::client(&connection.config).map_err(|error| Error::Kubeconfig {
            message: plain(&chain(&*error).join(": "), 500),
            hint: "`oc config view --minify` shows what is used; `oc login` writes it anew".into(),
        })?;
        Ok(Self {
            client,
            server: connection.server().to_string(),
            plugin: connection.plugin.clone(),
            anonymous: connection.is_anonymous(),
            request_timeout: connection.request_timeout,
            lanes: Semaphore::new(LANES),
            received: AtomicU64::new(0),
            warnings: Mutex::new(connection.warnings.clone()),
        })
    }

    /// The URL.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// What the server and plugins warned of, once each.
    pub fn take_warnings(&self) -> Vec<String> {
        self.warnings.lock().map(|mut warnings| std::mem::take(&mut *warnings)).unwrap_or_default()
    }

    /// The limit on all answers together holds for what is read from now on.
    pub fn begin_count(&self) {
        self.received.store(0, Ordering::Relaxed);
    }

    /// An error about this server.
    pub fn error(&self, message: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::Cluster { server: self.server.clone(), message: message.into(), hint: hint.into() }
    }

    /// The server, or something before it, is not what it should be.
    pub fn not_an_api_server(&self, path: &str, body: &[u8], why: &str) -> Error {
        self.nonsense(&format!("GET {}", bare(path)), body, why)
    }

    fn nonsense(&self, request: &str, body: &[u8], why: &str) -> Error {
        let begin = plain(&String::from_utf8_lossy(body.get(..200).unwrap_or(body)), 60);
        let begin = if begin.is_empty() { String::new() } else { format!(", which begins with {begin:?}") };
        self.error(
            format!("the answer to {request} {why}{begin}"),
            "is this an API server, or a proxy or login page before one? compare with `oc whoami --show-server`, and look \
             at HTTPS_PROXY",
        )
    }

    /// GETs a path until there is an answer to work with. 401 and everything that stays wrong is an error.
    pub async fn get(&self, path: &str, accept: &str) -> Result<Answer> {
        let call = Call { method: &Method::GET, path, accept, body: None };
        match self.call(&call).await? {
            Some(reply) => self.interpret(path, reply),
            None => Ok(Answer::TooLarge),
        }
    }

    /// Sends a request that writes until there is an answer to work with. Where a connection breaks or times out, nobody knows whether
    /// it was carried out.
    pub async fn write(&self, write: &Write<'_>) -> Result<WriteAnswer> {
        let body = Some((write.content_type, write.body.as_slice()));
        let call = Call { method: &write.method, path: write.path, accept: "application/json", body };
        match self.call(&call).await? {
            Some(reply) => self.interpret_write(&call, reply),
            None => Err(self.nonsense(&call.name(), b"", "is too large to read")),
        }
    }

    /// `None` for an answer that is too large.
    async fn call(&self, call: &Call<'_>) -> Result<Option<Reply>> {
        let mut waited = Duration::ZERO;
        for attempt in 1.. {
            let (problem, asked) = match self.send(call).await {
                Ok(reply) if !is_passing(&reply) => return Ok(Some(reply)),
                Ok(reply) => {
                    let said = serde_json::from_slice::<Status>(&reply.body).unwrap_or_default().message();
                    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
                    (format!("{}{said}", reply.status), retry_after(&reply.headers))
                }
                Err(Failure::TooLarge) => return Ok(None),
                Err(Failure::TimedOut) => return Err(self.timed_out(call)),
                Err(Failure::Broken(error)) => {
                    let said = chain(error.as_ref());
                    if !is_passing_break(error.as_ref(), &said) {
                        return Err(self.unreachable(error.as_ref(), &said));
                    }
                    (format!("the connection breaks ({})", plain(said.last().map_or("", |text| text), 200)), None)
                }
            };
            let pause = asked.unwrap_or(BACK_OFF * 2_u32.saturating_pow(attempt - 1));
            if attempt >= ATTEMPTS || waited + pause > MOST_WAITING {
                let asked = asked.map_or(String::new(), |pause| format!(", and asks to wait {} s", pause.as_secs()));
                return Err(self.error(
                    format!("{} fails {attempt} times, last with {problem}{asked}", call.name()),
                    "the server is in trouble or busy: try again later; `oc get --raw /readyz?verbose` says more",
                ));
            }
            waited += pause;
            tokio::time::sleep(pause).await;
        }
        unreachable!("the loop ends by returning")
    }

    /// GETs a path whose answer does not end. One attempt: the caller decides when to try again, since a watch outlives servers.
    pub async fn open(&self, path: &str, accept: &str) -> Result<Stream, NoStream> {
        // Streams take no lane: they would keep it.
        let limit = self.request_timeout.unwrap_or(OPEN_TIME_LIMIT).min(OPEN_TIME_LIMIT);
        let response =
            match tokio::time::timeout(limit, self.begin(&Call { method: &Method::GET, path, accept, body: None }))
                .await
            {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => {
                    let said = chain(error.as_ref());
                    return Err(NoStream::Passing(plain(said.last().map_or("", |text| text), 200), None));
                }
                Err(_) => return Err(NoStream::Passing("it does not answer".into(), None)),
            };
        let (parts, mut body) = response.into_parts();
        if parts.status == StatusCode::OK {
            return Ok(Stream { body, rest: Vec::new() });
        }
        let mut bytes = Vec::new();
        while let Ok(Some(Ok(frame))) = tokio::time::timeout(limit, body.frame()).await {
            if let Ok(data) = frame.into_data()
                && bytes.len() + data.len() <= MAX_REFUSAL
            {
                bytes.extend_from_slice(&data);
            }
        }
        let reply = Reply { status: parts.status, headers: parts.headers, body: bytes };
        if is_passing(&reply) {
            let asked = retry_after(&reply.headers).map(|pause| pause.min(MOST_WAITING));
            return Err(NoStream::Passing(format!("it answers {}", reply.status), asked));
        }
        match self.interpret(path, reply) {
            Ok(Answer::Gone) => Err(NoStream::Gone),
            Ok(Answer::Forbidden(_)) => Err(NoStream::Forbidden),
            Ok(Answer::NotFound(_) | Answer::Found(_) | Answer::TooLarge) => Err(NoStream::NotFound),
            Err(error) => Err(NoStream::Error(error)),
        }
    }

    async fn send(&self, call: &Call<'_>) -> Result<Reply, Failure> {
        // Waiting for a lane is not the server's fault and does not count.
        let _lane = self.lanes.acquire().await;
        let exchange = self.exchange(call);
        match self.request_timeout {
            Some(limit) => tokio::time::timeout(limit, exchange).await.unwrap_or(Err(Failure::TimedOut)),
            None => exchange.await,
        }
    }

    async fn begin(&self, call: &Call<'_>) -> Result<Response<Body>, Box<dyn StdError + Send + Sync>> {
        let mut request = Request::builder()
            .method(call.method)
            .uri(call.path)
            .header(ACCEPT, call.accept)
            .header(USER_AGENT, concat!("oc-imagepolicy/", env!("CARGO_PKG_VERSION")));
        if let Some((content_type, _)) = call.body {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let body = call.body.map_or_else(Body::empty, |(_, bytes)| Body::from(bytes.to_vec()));
        Ok(self.client.send(request.body(body)?).await?)
    }

    async fn exchange(&self, call: &Call<'_>) -> Result<Reply, Failure> {
        let response = self.begin(call).await.map_err(Failure::Broken)?;
        let (parts, mut stream) = response.into_parts();
        self.note_warnings(&parts.headers);
        let mut body = Vec::new();
        while let Some(frame) = stream.frame().await {
            let frame = frame.map_err(|error| Failure::Broken(error.into()))?;
            if let Ok(data) = frame.into_data() {
                let total = self.received.fetch_add(data.len() as u64, Ordering::Relaxed);
                if body.len() + data.len() > MAX_BODY || total > MAX_TOTAL {
                    return Err(Failure::TooLarge);
                }
                body.extend_from_slice(&data);
            }
        }
        Ok(Reply { status: parts.status, headers: parts.headers, body })
    }

    fn interpret(&self, path: &str, reply: Reply) -> Result<Answer> {
        let Reply { status, headers, body } = reply;
        let request = format!("GET {}", bare(path));
        if status == StatusCode::OK {
            // Everything that is asked for is an object.
            if body.trim_ascii_start().first() != Some(&b'{') {
                return Err(self.nonsense(&request, &body, "is not JSON"));
            }
            return Ok(Answer::Found(body));
        }
        self.refuse_detours(&request, status, &headers, &body)?;
        let said: Option<Status> = serde_json::from_slice(&body).ok().filter(|said: &Status| said.kind == "Status");
        match (status, said) {
            (StatusCode::FORBIDDEN, Some(said)) => Ok(Answer::Forbidden(said.message())),
            (StatusCode::NOT_FOUND, Some(said)) => Ok(Answer::NotFound(said)),
            // What Go says where no handler is registered: a group that the server does not have.
            (StatusCode::NOT_FOUND, None) if body.starts_with(b"404 page not found") => {
                Ok(Answer::NotFound(Status::default()))
            }
            (StatusCode::GONE, _) => Ok(Answer::Gone),
            (_, Some(said)) => Err(self.error(
                format!("GET {} is answered with {status}: {}", bare(path), said.message()),
                "`oc get --raw /version` tells which server this is",
            )),
            (_, None) => Err(self.not_an_api_server(path, &body, &format!("has status {status}"))),
        }
    }

    fn interpret_write(&self, call: &Call<'_>, reply: Reply) -> Result<WriteAnswer> {
        let Reply { status, headers, body } = reply;
        if matches!(status, StatusCode::OK | StatusCode::CREATED | StatusCode::ACCEPTED) {
            if body.trim_ascii_start().first() != Some(&b'{') {
                return Err(self.nonsense(&call.name(), &body, "is not JSON"));
            }
            return Ok(WriteAnswer::Done(body));
        }
        self.refuse_detours(&call.name(), status, &headers, &body)?;
        match serde_json::from_slice::<Status>(&body).ok().filter(|said| said.kind == "Status") {
            Some(said) => Ok(WriteAnswer::Refused(status, said)),
            None if status == StatusCode::NOT_FOUND && body.starts_with(b"404 page not found") => {
                Ok(WriteAnswer::Refused(status, Status::default()))
            }
            None => Err(self.nonsense(&call.name(), &body, &format!("has status {status}"))),
        }
    }

    fn refuse_detours(&self, request: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<()> {
        if status.is_redirection() {
            let to = headers.get(LOCATION).map_or("", |location| location.to_str().unwrap_or_default());
            return Err(self.nonsense(request, body, &format!("is a redirection to {:?}", plain(to, 200))));
        }
        if status == StatusCode::UNAUTHORIZED {
            return Err(self.unauthorized());
        }
        Ok(())
    }

    fn unauthorized(&self) -> Error {
        let hint = match &self.plugin {
            Some(plugin) => format!("log in again with `{}`, or `oc login {}`", plain(plugin, 200), self.server),
            None => format!("`oc login {}`", self.server),
        };
        let why = if self.anonymous {
            "the kubeconfig has no credentials"
        } else {
            "the login has expired or is not one of its own"
        };
        self.error(format!("it does not know you (401 Unauthorized): {why}"), hint)
    }

    fn timed_out(&self, call: &Call<'_>) -> Error {
        let limit = self.request_timeout.unwrap_or_default().as_secs_f32();
        self.error(
            format!("the answer to {} is not there within {limit} s", call.name()),
            "--request-timeout=5m waits longer; --request-timeout=0 for ever",
        )
    }

    fn unreachable(&self, error: &(dyn StdError + 'static), said: &[String]) -> Error {
        let all = said.join(": ");
        let last = said.last().map_or("", |text| text);
        let (message, hint) = match io_kind(error) {
            Some(io::ErrorKind::ConnectionRefused) => (
                "nothing listens there (connection refused)".to_string(),
                "is the cluster running, and is this its address? `oc config view --minify` shows it".to_string(),
            ),
            Some(io::ErrorKind::TimedOut) => (
                "it cannot be reached in time".to_string(),
                "does it need a VPN or a proxy (HTTPS_PROXY)? `oc config view --minify` shows the address".to_string(),
            ),
            _ if all.contains("failed to lookup address") || all.contains("dns error") => (
                "its name is not known (no such host)".to_string(),
                "does it need a VPN or a proxy (HTTPS_PROXY)? `oc config view --minify` shows the address".to_string(),
            ),
            _ if all.contains("not valid for name") || all.contains("NotValidForName") => (
                format!("its certificate is for another name: {}", plain(last, 300)),
                "--tls-server-name NAME says which name to expect".to_string(),
            ),
            _ if all.contains("invalid peer certificate") || all.contains("UnknownIssuer") => (
                format!("its certificate cannot be trusted: {}", plain(last, 300)),
                format!("--certificate-authority FILE names who signed it; `oc login {}` fetches it", self.server),
            ),
            _ if all.contains("InvalidContentType") => {
                ("it does not speak TLS".to_string(), format!("is it {}?", self.server.replacen("https:", "http:", 1)))
            }
            _ if all.contains("tunnel error") || all.contains("proxy") || all.contains("SOCKS") => (
                format!("the proxy does not lead there: {}", plain(last, 300)),
                "look at HTTPS_PROXY, NO_PROXY and the kubeconfig's proxy-url".to_string(),
            ),
            _ => (
                format!("it cannot be reached: {}", plain(&all, 400)),
                "`oc get --raw /version` tries the same".to_string(),
            ),
        };
        self.error(message, hint)
    }

    fn note_warnings(&self, headers: &HeaderMap) {
        for value in headers.get_all(WARNING) {
            let texts = warning_texts(&String::from_utf8_lossy(value.as_bytes()));
            let Ok(mut warnings) = self.warnings.lock() else { return };
            for text in texts {
                if !text.is_empty() && warnings.len() < MAX_WARNINGS && !warnings.contains(&text) {
                    warnings.push(text);
                }
            }
        }
    }
}

impl Stream {
    /// The next line, if one comes before the connection has been silent for `patience`.
    pub async fn line(&mut self, patience: Duration) -> Line {
        let mut searched = 0;
        loop {
            if let Some(at) = memchr::memchr(b'\n', self.rest.get(searched..).unwrap_or_default()) {
                let rest = self.rest.split_off(searched + at + 1);
                let mut line = std::mem::replace(&mut self.rest, rest);
                line.pop();
                return Line::Text(line);
            }
            searched = self.rest.len();
            match tokio::time::timeout(patience, self.body.frame()).await {
                Err(_) => return Line::Broken("nothing has come for too long".into()),
                Ok(None) => return Line::End,
                Ok(Some(Err(error))) => {
                    return Line::Broken(plain(chain(&error).last().map_or("", |text| text), 200));
                }
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        if self.rest.len() + data.len() > MAX_LINE {
                            return Line::Broken("it sends more than an object can have".into());
                        }
                        self.rest.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

/// Worth another try.
fn is_passing(reply: &Reply) -> bool {
    // What no schema knows is answered with 500 (apimachinery's managedfields), and always will be.
    let is_final = |body: &[u8]| {
        let said = serde_json::from_slice::<Status>(body).unwrap_or_default().message.unwrap_or_default();
        said.starts_with(UNTYPED)
    };
    reply.status == StatusCode::TOO_MANY_REQUESTS || (reply.status.is_server_error() && !is_final(&reply.body))
}

/// A connection that broke may not break again; one that could not be made at all will not be made at the next try either.
fn is_passing_break(error: &(dyn StdError + 'static), said: &[String]) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(io_kind(error), Some(BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof))
        || !said.iter().any(|text| text.contains("(Connect)"))
}

/// Seconds or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(text).ok()?;
    let seconds = until.timestamp().as_second() - jiff::Timestamp::now().as_second();
    Some(Duration::from_secs(seconds.try_into().unwrap_or(0)))
}

/// The texts of a `Warning` header: `299 - "text"`, several with commas between.
fn warning_texts(header: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut letters = header.chars();
    while letters.any(|letter| letter == '"') {
        let mut text = String::new();
        while let Some(letter) = letters.next() {
            match letter {
                '"' => break,
                '\\' => text.extend(letters.next()),
                letter => text.push(letter),
            }
        }
        texts.push(plain(&text, 500));
        // A date in quotes, with a comma in it, may follow.
        let mut quoted = false;
        for letter in letters.by_ref() {
            match letter {
                '"' => quoted = !quoted,
                ',' if !quoted => break,
                _ => {}
            }
        }
    }
    texts
}

/// An error and its sources in words, each once.
fn chain(error: &(dyn StdError + 'static)) -> Vec<String> {
    let mut said: Vec<String> = Vec::new();
    let mut next = Some(error);
    // A `source` that leads back to itself must not keep us.
    for _ in 0..16 {
        let Some(error) = next else { break };
        let text = error.to_string();
        if said.last() != Some(&text) {
            said.push(text);
        }
        next = error.source();
    }
    said
}

fn io_kind(error: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(error);
    let mut kind = None;
    for _ in 0..16 {
        let error = next?;
        if let Some(error) = error.downcast_ref::<io::Error>() {
            kind = Some(error.kind());
            if error.kind() != io::ErrorKind::Other {
                return kind;
            }
        }
        next = error.source();
        if next.is_none() {
            return kind;
        }
    }
    kind
}

/// A path without its query, for messages.
fn bare(path: &str) -> &str {
    path.split_once('?').map_or(path, |(path, _)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_taken_apart() {
        for (header, expected) in [
            (r#"299 - "old""#, &["old"][..]),
            (r#"299 - "say \"no\"", 299 a "b, c""#, &[r#"say "no""#, "b, c"]),
            (r#"299 - "x" "Sun, 22 Nov 2026 13:00:00 GMT", 299 - "y""#, &["x", "y"]),
            ("299 - \"a\u{1b}[31m\"", &["a [31m"]),
            (r#"299 - "open"#, &["open"]),
            (r#"299 - "back\"#, &["back"]),
            ("", &[]),
        ] {
            assert_eq!(warning_texts(header), expected, "{header}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Sun, 01 Nov 2015 13:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("-1"), None);
    }
}
