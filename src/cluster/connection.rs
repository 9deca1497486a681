//! From flags, environment and kubeconfig to one server and one identity, as kubectl does it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use kube::config::AuthInfo;

use super::kubeconfig::{Cluster, Context, Kubeconfig, User, filled, nearest, read_file};
use super::{exec, plain, proxy};
use crate::error::{Error, Result};

/// For a request and its answer where `--request-timeout` says nothing: kubectl waits for ever.
const REQUEST_TIME_LIMIT: Duration = Duration::from_secs(60);
/// For reaching the server at all.
const CONNECT_TIME_LIMIT: Duration = Duration::from_secs(10);

/// The connection flags of kubectl. The default is kubectl's without any flag. Not `Debug`: it may hold a token.
#[derive(Clone)]
pub struct ConnectionArgs {
    /// `--kubeconfig`: only this file.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`
    pub context: Option<String>,
    /// `--cluster`: a name in the kubeconfig.
    pub cluster: Option<String>,
    /// `--user`: a name in the kubeconfig.
    pub user: Option<String>,
    /// `-s, --server`: a URL; `http://` or `https://` may be left out.
    pub server: Option<String>,
    /// `--token`: a bearer token. Other credentials of the kubeconfig are then not used.
    pub token: Option<String>,
    /// `--certificate-authority`: a PEM file.
    pub certificate_authority: Option<PathBuf>,
    /// `--insecure-skip-tls-verify`
    pub insecure_skip_tls_verify: bool,
    /// `--tls-server-name`
    pub tls_server_name: Option<String>,
    /// `--as`
    pub as_user: Option<String>,
    /// `--as-group`, repeatable.
    pub as_group: Vec<String>,
    /// `--as-uid`
    pub as_uid: Option<String>,
    /// `--request-timeout` as typed: `0` for none, seconds, or a Go duration such as `1m30s`.
    pub request_timeout: Option<String>,
    /// `--chunk-size`: objects a page; 0 for everything at once.
    pub chunk_size: u32,
    /// How long an exec plugin may take; by default a minute, five where it can ask somebody.
    pub exec_timeout: Option<Duration>,
    /// Whether an exec plugin is kept from asking anybody, even where there is a terminal.
    pub unattended: bool,
}

impl Default for ConnectionArgs {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            context: None,
            cluster: None,
            user: None,
            server: None,
            token: None,
            certificate_authority: None,
            insecure_skip_tls_verify: false,
            tls_server_name: None,
            as_user: None,
            as_group: Vec::new(),
            as_uid: None,
            request_timeout: None,
            chunk_size: 500,
            exec_timeout: None,
            unattended: false,
        }
    }
}

/// What the process's surroundings say about clusters, as a value so that tests can say otherwise.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `KUBECONFIG`: paths as in `PATH`.
    pub kubeconfig: Option<OsString>,
    /// Where `.kube/config` lies.
    pub home: Option<PathBuf>,
    /// `HTTPS_PROXY` or `https_proxy`
    pub https_proxy: Option<String>,
    /// `HTTP_PROXY` or `http_proxy`
    pub http_proxy: Option<String>,
    /// `NO_PROXY` or `no_proxy`
    pub no_proxy: Option<String>,
    /// `KUBERNETES_SERVICE_HOST`, set in a pod.
    pub service_host: Option<String>,
    /// `KUBERNETES_SERVICE_PORT`
    pub service_port: Option<String>,
    /// The directory with a pod's `token`, `ca.crt` and `namespace`.
    pub service_account: PathBuf,
}

impl Environment {
    /// That of this process.
    pub fn of_process() -> Self {
        let text =
            |names: &[&str]| names.iter().filter_map(|name| std::env::var(name).ok()).find(|value| !value.is_empty());
        Self {
            kubeconfig: std::env::var_os("KUBECONFIG"),
            home: std::env::home_dir(),
            https_proxy: text(&["HTTPS_PROXY", "https_proxy"]),
            http_proxy: text(&["HTTP_PROXY", "http_proxy"]),
            no_proxy: text(&["NO_PROXY", "no_proxy"]),
            service_host: text(&["KUBERNETES_SERVICE_HOST"]),
            service_port: text(&["KUBERNETES_SERVICE_PORT"]),
            service_account: "/var/run/secrets/kubernetes.io/serviceaccount".into(),
        }
    }
}

/// A server and who one is to it. Nothing has been sent yet.
#[derive(Clone, Debug)]
pub struct Connection {
    pub(super) config: kube::Config,
    pub(super) request_timeout: Option<Duration>,
    pub(super) chunk_size: u32,
    pub(super) warnings: Vec<String>,
    /// The exec plugin that gave the credentials.
    pub(super) plugin: Option<String>,
    server: String,
    namespace: String,
    context: Option<String>,
}

impl Connection {
    /// The server's URL, without credentials.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The namespace of the context, else `default`: what kubectl takes without `-n`.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whether nothing says who one is.
    pub(super) fn is_anonymous(&self) -> bool {
        let auth = &self.config.auth_info;
        auth.token.is_none() && auth.username.is_none() && auth.client_certificate_data.is_none()
    }

    /// The context, where there is one.
    pub fn context(&self) -> Option<&str> {
        self.context.as_deref()
    }
}

/// Settles which server to talk to and how, from the flags and the environment of this process. Reads files and may run an exec
/// plugin; sends nothing to the server.
///
/// # Errors
/// [`Error::Kubeconfig`], [`Error::File`] or [`Error::Usage`], each with what to type.
pub fn connect(args: &ConnectionArgs) -> Result<Connection> {
    connect_in(args, &Environment::of_process())
}

/// [`connect`], or `None` where neither flags nor a kubeconfig nor a pod's service account names any cluster.
///
/// # Errors
/// As [`connect`].
pub fn connect_if_any(args: &ConnectionArgs) -> Result<Option<Connection>> {
    let environment = Environment::of_process();
    let named = [&args.context, &args.cluster, &args.user, &args.server].iter().any(|name| name.is_some());
    let paths = default_paths(&environment);
    if !named
        && args.kubeconfig.is_none()
        && Kubeconfig::read(&paths, false)?.is_empty()
        && in_cluster(&environment).is_none()
    {
        return Ok(None);
    }
    connect_in(args, &environment).map(Some)
}

/// [`connect`] in a given environment.
///
/// # Errors
/// As [`connect`].
pub fn connect_in(args: &ConnectionArgs, environment: &Environment) -> Result<Connection> {
    let request_timeout = match &args.request_timeout {
        None => Some(REQUEST_TIME_LIMIT),
        Some(text) => parse_timeout(text)?,
    };
    let mut chosen = choose(args, environment)?;
    override_cluster(&mut chosen.cluster, args);
    override_user(&mut chosen.user, args)?;

    let uri = server_uri(&chosen.cluster, &chosen.user)?;
    let mut config = kube::Config::new(uri.clone());
    config.root_cert = root_certificates(&chosen.cluster, &uri)?;
    config.accept_invalid_certs = chosen.cluster.insecure_skip_tls_verify == Some(true);
    config.tls_server_name = filled(&chosen.cluster.tls_server_name).map(str::to_string);
    config.disable_compression = chosen.cluster.disable_compression == Some(true);
    config.proxy_url = match filled(&chosen.cluster.proxy_url) {
        Some(proxy) => Some(proxy_uri(proxy, "the proxy-url of the kubeconfig")?),
        None => proxy::from_environment(environment, &uri)
            .map(|proxy| proxy_uri(proxy, "the proxy of the environment (HTTPS_PROXY)"))
            .transpose()?,
    };
    config.connect_timeout = Some(request_timeout.map_or(CONNECT_TIME_LIMIT, |limit| limit.min(CONNECT_TIME_LIMIT)));
    // Retries and time limits are ours: `kube` would wait for hours on a server that says 429.
    config.default_retry = false;
    config.write_timeout = None;

    let mut warnings = Vec::new();
    let plugin;
    (config.auth_info, plugin) = credentials(&chosen, args, &mut warnings)?;
    Ok(Connection {
        server: display(&uri),
        config,
        request_timeout,
        chunk_size: args.chunk_size,
        warnings,
        namespace: filled(&chosen.context.namespace).unwrap_or("default").to_string(),
        context: chosen.context_name,
        plugin,
    })
}

/// What a kubeconfig has names for.
#[derive(Clone, Debug, Default)]
pub struct KubeconfigNames {
    /// Of contexts.
    pub contexts: Vec<String>,
    /// The one that is taken without `--context`.
    pub current_context: Option<String>,
    /// Of clusters.
    pub clusters: Vec<String>,
    /// Of users.
    pub users: Vec<String>,
}

/// Reads the names in the kubeconfig that the flags and the environment of this process name, in the order of the files.
///
/// # Errors
/// [`Error::Kubeconfig`] or [`Error::File`].
pub fn kubeconfig_names(args: &ConnectionArgs) -> Result<KubeconfigNames> {
    let (paths, must_exist) = paths(args, &Environment::of_process());
    let kubeconfig = Kubeconfig::read(&paths, must_exist)?;
    Ok(KubeconfigNames {
        contexts: kubeconfig.context_names().map(str::to_string).collect(),
        current_context: kubeconfig.current_context().map(str::to_string),
        clusters: kubeconfig.cluster_names().map(str::to_string).collect(),
        users: kubeconfig.user_names().map(str::to_string).collect(),
    })
}

/// One cluster and one user of the kubeconfig.
struct Chosen {
    context_name: Option<String>,
    context: Context,
    cluster: Cluster,
    user: User,
}

fn choose(args: &ConnectionArgs, environment: &Environment) -> Result<Chosen> {
    let (paths, must_exist) = paths(args, environment);
    let kubeconfig = Kubeconfig::read(&paths, must_exist)?;
    if kubeconfig.is_empty()
        && args.server.is_none()
        && [&args.context, &args.cluster, &args.user].iter().all(|name| name.is_none())
        && let Some(in_cluster) = in_cluster(environment)
    {
        return Ok(in_cluster);
    }

    let context_name = filled(&args.context).or(kubeconfig.current_context());
    let context = match context_name {
        Some(name) => kubeconfig.context(name).ok_or_else(|| {
            missing("context", name, kubeconfig.context_names(), "--context NAME; `oc config get-contexts` lists them")
        })?,
        None => Context::default(),
    };
    let cluster = match (filled(&args.cluster), filled(&context.cluster)) {
        (Some(name), _) | (None, Some(name)) => kubeconfig.cluster(name).ok_or_else(|| {
            missing("cluster", name, kubeconfig.cluster_names(), "--cluster NAME; `oc config get-clusters` lists them")
        })?,
        (None, None) => Cluster::default(),
    };
    let user = match (filled(&args.user), filled(&context.user)) {
        (Some(name), _) => kubeconfig.user(name).ok_or_else(|| {
            missing("user", name, kubeconfig.user_names(), "--user NAME; `oc config get-users` lists them")
        })?,
        // kubectl goes on without credentials, and so do front proxies that need none.
        (None, Some(name)) => kubeconfig.user(name).unwrap_or_default(),
        (None, None) => User::default(),
    };
    if filled(&cluster.server).is_none() && filled(&args.server).is_none() {
        return Err(no_server(context_name, &kubeconfig, &paths));
    }
    Ok(Chosen { context_name: context_name.map(str::to_string), context, cluster, user })
}

/// The kubeconfig files, and whether they must exist.
fn paths(args: &ConnectionArgs, environment: &Environment) -> (Vec<PathBuf>, bool) {
    match &args.kubeconfig {
        Some(path) => (vec![path.clone()], true),
        None => (default_paths(environment), false),
    }
}

fn default_paths(environment: &Environment) -> Vec<PathBuf> {
    let listed = environment.kubeconfig.as_deref().unwrap_or_default();
    let listed: Vec<PathBuf> = std::env::split_paths(listed).filter(|path| !path.as_os_str().is_empty()).collect();
    if listed.is_empty() {
        environment.home.iter().map(|home| home.join(".kube").join("config")).collect()
    } else {
        listed
    }
}

fn missing<'a>(what: &str, name: &str, names: impl Iterator<Item = &'a str>, otherwise: &str) -> Error {
    let hint = match nearest(name, names) {
        Some(near) => format!("did you mean --{what} {}?", plain(near, 200)),
        None => otherwise.to_string(),
    };
    Error::Kubeconfig { message: format!("it has no {what} {:?}", plain(name, 200)), hint }
}

fn no_server(context: Option<&str>, kubeconfig: &Kubeconfig, paths: &[PathBuf]) -> Error {
    let without = "or read files with -f, or try --example";
    if let Some(context) = context {
        return Error::Kubeconfig {
            message: format!("the cluster of context {:?} has no server", plain(context, 200)),
            hint: format!("`oc config view --minify` shows it; {without}"),
        };
    }
    if kubeconfig.context_names().next().is_some() {
        return Error::Kubeconfig {
            message: "no context is current".into(),
            hint: "`oc config use-context NAME`, or --context NAME; `oc config get-contexts` lists them".into(),
        };
    }
    let looked: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    Error::Kubeconfig {
        message: format!("there is no cluster in {}", if looked.is_empty() { "it".into() } else { looked.join(", ") }),
        hint: format!("`oc login https://api.CLUSTER:6443`, {without}"),
    }
}

/// What a pod knows of its own cluster.
fn in_cluster(environment: &Environment) -> Option<Chosen> {
    let host = environment.service_host.as_deref()?;
    let port = environment.service_port.as_deref()?;
    let directory = &environment.service_account;
    let token_file = directory.join("token");
    if !token_file.exists() {
        return None;
    }
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_string() };
    let path = |file: PathBuf| Some(file.to_string_lossy().into_owned());
    let authority = directory.join("ca.crt");
    let namespace = read_file(&directory.join("namespace")).ok().map(|name| name.trim().to_string());
    Some(Chosen {
        context_name: None,
        context: Context { namespace, ..Context::default() },
        cluster: Cluster {
            server: Some(format!("https://{host}:{port}")),
            certificate_authority: if authority.exists() { path(authority) } else { None },
            ..Cluster::default()
        },
        user: User { token_file: path(token_file), ..User::default() },
    })
}

/// The flags about the server, with kubectl's rules for what each of them also clears.
fn override_cluster(cluster: &mut Cluster, args: &ConnectionArgs) {
    if let Some(server) = filled(&args.server) {
        cluster.server = Some(server.to_string());
        cluster.tls_server_name = None;
    }
    if let Some(name) = filled(&args.tls_server_name) {
        cluster.tls_server_name = Some(name.to_string());
    }
    if args.insecure_skip_tls_verify || args.certificate_authority.is_some() {
        cluster.insecure_skip_tls_verify = Some(args.insecure_skip_tls_verify);
        cluster.certificate_authority_data = None;
        cluster.certificate_authority =
            args.certificate_authority.as_ref().map(|path| path.to_string_lossy().into_owned());
    }
}

fn override_user(user: &mut User, args: &ConnectionArgs) -> Result<()> {
    if let Some(token) = filled(&args.token) {
        // kubectl would still send the certificate of the kubeconfig, which servers look at first, and would let the
        // kubeconfig's tokenFile win.
        *user = User {
            token: Some(token.to_string()),
            impersonate: user.impersonate.take(),
            impersonate_uid: user.impersonate_uid.take(),
            impersonate_groups: user.impersonate_groups.take(),
            impersonate_extra: user.impersonate_extra.take(),
            ..User::default()
        };
    }
    if let Some(name) = filled(&args.as_user) {
        user.impersonate = Some(name.to_string());
    }
    if let Some(uid) = filled(&args.as_uid) {
        user.impersonate_uid = Some(uid.to_string());
    }
    if !args.as_group.is_empty() {
        user.impersonate_groups = Some(args.as_group.clone());
    }
    let more = filled(&user.impersonate_uid).is_some()
        || user.impersonate_groups.as_ref().is_some_and(|groups| !groups.is_empty());
    if more && filled(&user.impersonate).is_none() {
        return Err(Error::usage("--as-group and --as-uid say nothing without --as", "add --as USER"));
    }
    Ok(())
}

fn server_uri(cluster: &Cluster, user: &User) -> Result<Uri> {
    let text = filled(&cluster.server).unwrap_or_default();
    let wrong = |why: &str| Error::Kubeconfig {
        message: format!("the server {:?} {why}", plain(text, 200)),
        hint: "a server looks like https://api.CLUSTER:6443".into(),
    };
    let full = if text.contains("://") {
        text.to_string()
    } else {
        // As client-go: TLS where anything speaks of it.
        let tls = filled(&cluster.certificate_authority).is_some()
            || filled(&cluster.certificate_authority_data).is_some()
            || filled(&user.client_certificate).is_some()
            || filled(&user.client_certificate_data).is_some()
            || cluster.insecure_skip_tls_verify == Some(true);
        format!("{}://{text}", if tls { "https" } else { "http" })
    };
    let uri: Uri = full.parse().map_err(|_| wrong("is not a URL"))?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        _ => return Err(wrong("is neither http nor https")),
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(wrong("names no host"));
    }
    Ok(uri)
}

fn proxy_uri(text: &str, what: &str) -> Result<Uri> {
    // Go takes a proxy without a scheme for an http one, and knows socks5h for what `kube` calls socks5.
    let full = match text.split_once("://") {
        None => format!("http://{text}"),
        Some(("socks5h", rest)) => format!("socks5://{rest}"),
        Some(_) => text.to_string(),
    };
    let uri = full.parse::<Uri>().ok();
    uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https" | "socks5")) && uri.host().is_some()).ok_or_else(
        || Error::Kubeconfig {
            message: format!("{what} is not the URL of a proxy"),
            hint: "a proxy looks like http://proxy.corp:3128, https://… or socks5://…".into(),
        },
    )
}

/// The URL without user, password and a trailing slash.
fn display(uri: &Uri) -> String {
    let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{}://{host}{}", uri.scheme_str().unwrap_or_default(), uri.path().trim_end_matches('/'))
}

/// The PEM text of a cluster's certificate authority.
pub(super) fn certificate_authority(cluster: &Cluster) -> Result<Option<Vec<u8>>> {
    pem("certificate-authority", &cluster.certificate_authority, &cluster.certificate_authority_data)
}

/// DER; `None` only where the system's own roots are needed, since reading those takes longer than everything else here.
fn root_certificates(cluster: &Cluster, uri: &Uri) -> Result<Option<Vec<Vec<u8>>>> {
    let pem = certificate_authority(cluster)?;
    if cluster.insecure_skip_tls_verify == Some(true) {
        if pem.is_some() {
            return Err(Error::Kubeconfig {
                message: "it has a certificate authority and insecure-skip-tls-verify".into(),
                hint: "leave one of them out; --certificate-authority FILE overrides both".into(),
            });
        }
        return Ok(Some(Vec::new()));
    }
    let Some(pem) = pem else {
        return Ok((uri.scheme_str() == Some("http")).then(Vec::new));
    };
    let certificates = certificates_in(&pem);
    if certificates.is_empty() {
        return Err(Error::Kubeconfig {
            message: "its certificate authority has no certificate in PEM form".into(),
            hint: "--certificate-authority FILE names another".into(),
        });
    }
    Ok(Some(certificates))
}

/// The DER of every CERTIFICATE block.
fn certificates_in(pem: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(pem);
    let blocks = text.split("-----BEGIN CERTIFICATE-----").skip(1);
    blocks
        .filter_map(|block| {
            let (body, _) = block.split_once("-----END CERTIFICATE-----")?;
            let body: String = body.split_ascii_whitespace().collect();
            STANDARD.decode(body).ok()
        })
        .collect()
}

/// Data (base64) goes before a file, as with kubectl.
fn pem(what: &str, file: &Option<String>, data: &Option<String>) -> Result<Option<Vec<u8>>> {
    if let Some(data) = filled(data) {
        let data: String = data.split_ascii_whitespace().collect();
        return STANDARD.decode(data).map(Some).map_err(|_| Error::Kubeconfig {
            message: format!("its {what}-data is not base64"),
            hint: "`oc login` writes it anew".into(),
        });
    }
    let Some(path) = filled(file) else { return Ok(None) };
    read_file(Path::new(path)).map(|text| Some(text.into_bytes())).map_err(|source| Error::File {
        action: "read",
        path: path.to_string(),
        source,
        hint: format!("the kubeconfig (or a flag) names it as {what}"),
    })
}

/// What is sent to the server about oneself. The first of token, certificate, password and plugin that there is, as client-go
/// takes them; a token comes along with a certificate. The second value is the plugin's command where one was run.
fn credentials(
    chosen: &Chosen,
    args: &ConnectionArgs,
    warnings: &mut Vec<String>,
) -> Result<(AuthInfo, Option<String>)> {
    let user = &chosen.user;
    let mut auth = AuthInfo {
        impersonate: filled(&user.impersonate).map(str::to_string),
        impersonate_uid: filled(&user.impersonate_uid).map(str::to_string),
        impersonate_groups: user.impersonate_groups.clone().filter(|groups| !groups.is_empty()),
        impersonate_user_extra: user.impersonate_extra.clone().map(|extra| extra.into_iter().collect()),
        ..AuthInfo::default()
    };
    check_headers(&auth)?;
    if let Some(token) = token(user)? {
        auth.token = Some(bearer(&token)?.into());
    } else if filled(&user.username).is_some() || filled(&user.password).is_some() {
        auth.username = Some(user.username.clone().unwrap_or_default());
        auth.password = Some(user.password.clone().unwrap_or_default().into());
    }
    let certificate = pem("client-certificate", &user.client_certificate, &user.client_certificate_data)?;
    let key = pem("client-key", &user.client_key, &user.client_key_data)?;
    match (certificate, key) {
        (Some(certificate), Some(key)) => set_certificate(&mut auth, &certificate, &key),
        (None, None) => {}
        _ => {
            return Err(Error::Kubeconfig {
                message: "its user has a client certificate or a client key, and not both".into(),
                hint: "`oc config view --minify` shows it; `oc login` writes a new one".into(),
            });
        }
    }
    if auth.token.is_some() || auth.username.is_some() || auth.client_certificate_data.is_some() {
        return Ok((auth, None));
    }
    if let Some(exec) = &user.exec {
        let (credential, said) = exec::run(exec, &chosen.cluster, args.exec_timeout, args.unattended)?;
        if !said.is_empty() {
            warnings.push(said);
        }
        if let Some(token) = filled(&credential.token) {
            auth.token = Some(bearer(token)?.into());
        }
        if let (Some(certificate), Some(key)) =
            (filled(&credential.client_certificate_data), filled(&credential.client_key_data))
        {
            set_certificate(&mut auth, certificate.as_bytes(), key.as_bytes());
        }
        return Ok((auth, exec.command.clone()));
    }
    if let Some(provider) = &user.auth_provider {
        let id_token = provider.config.as_ref().and_then(|config| config.get("id-token"));
        let Some(token) = id_token.filter(|token| !token.is_empty()) else {
            return Err(Error::Kubeconfig {
                message: format!(
                    "its auth-provider {:?} is not supported",
                    plain(filled(&provider.name).unwrap_or_default(), 80)
                ),
                hint: "use an exec plugin instead, or `oc login`, or give a --token".into(),
            });
        };
        auth.token = Some(bearer(token)?.into());
    }
    Ok((auth, None))
}

/// A token file goes before a token, which then serves only where the file cannot be read.
fn token(user: &User) -> Result<Option<String>> {
    let inline = filled(&user.token).map(str::to_string);
    let Some(path) = filled(&user.token_file) else { return Ok(inline) };
    match (read_file(Path::new(path)), inline) {
        (Ok(text), inline) => match text.trim() {
            "" if inline.is_some() => Ok(inline),
            "" => Err(Error::Kubeconfig {
                message: format!("its token file {path} is empty"),
                hint: "`oc login`, or give a --token".into(),
            }),
            token => Ok(Some(token.to_string())),
        },
        (Err(_), Some(inline)) => Ok(Some(inline)),
        (Err(source), None) => Err(Error::File {
            action: "read",
            path: path.to_string(),
            source,
            hint: "the kubeconfig names it as tokenFile".into(),
        }),
    }
}

/// A token that fits into a header: `kube` panics on any other.
fn bearer(token: &str) -> Result<String> {
    let token = token.trim();
    HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| Error::Kubeconfig {
        message: "the token has characters that no token has".into(),
        hint: "`oc whoami --show-token` prints a good one".into(),
    })?;
    Ok(token.to_string())
}

fn check_headers(auth: &AuthInfo) -> Result<()> {
    let extra = auth.impersonate_user_extra.iter().flatten();
    let texts = (auth.impersonate.iter().chain(&auth.impersonate_uid))
        .chain(auth.impersonate_groups.iter().flatten())
        .chain(extra.flat_map(|(_, values)| values));
    for text in texts {
        if HeaderValue::from_str(text).is_err() {
            return Err(Error::usage(
                format!("{:?} cannot be the name of a user or group", plain(text, 200)),
                "see --as, --as-group and --as-uid",
            ));
        }
    }
    Ok(())
}

fn set_certificate(auth: &mut AuthInfo, certificate: &[u8], key: &[u8]) {
    auth.client_certificate_data = Some(STANDARD.encode(certificate));
    auth.client_key_data = Some(STANDARD.encode(key).into());
}

/// `None` for no limit. kubectl's grammar: seconds, or a Go duration.
fn parse_timeout(text: &str) -> Result<Option<Duration>> {
    let wrong = || {
        Error::usage(
            format!("--request-timeout {:?} is not a length of time", plain(text, 80)),
            "write seconds, or a number with a unit: --request-timeout=30s, 1m30s, 0 for no limit",
        )
    };
    let limit = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => go_duration(text).ok_or_else(wrong)?,
    };
    // More than a year is no limit either, and too much for a clock to add.
    Ok((!limit.is_zero() && limit.as_secs() < 366 * 86_400).then_some(limit))
}

/// Go's `time.ParseDuration` without negative ones: `1m30s`, `500ms`.
pub fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, after) = rest.split_at_checked(end)?;
        let number: f64 = number.parse().ok()?;
        let end = after.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        seconds += number
            * match unit {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" | "μs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = after;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts() {
        let seconds = |text: &str| parse_timeout(text).map(|limit| limit.map(|limit| limit.as_secs_f64()));
        for (text, expected) in [
            ("0", None),
            ("0s", None),
            ("5", Some(5.0)),
            ("1m30s", Some(90.0)),
            ("500ms", Some(0.5)),
            ("1.5h", Some(5400.0)),
            (".5s", Some(0.5)),
            ("2h3m4s", Some(7384.0)),
            ("99999999999999999", None),
        ] {
            assert_eq!(seconds(text).unwrap(), expected, "{text}");
        }
        for text in ["", "x", "-1", "-1s", "5x", "s", "1m30", "1..5s", "1 s", "+", ".s", "1e9s", "5µ", "½s"] {
            let error = seconds(text).unwrap_err();
            assert!(matches!(error, Error::Usage { .. }), "{text}");
            assert!(error.hint().contains("--request-timeout=30s"), "{text}");
        }
    }

    #[test]
    fn servers() {
        let uri = |server: &str, insecure| {
            let cluster =
                Cluster { server: Some(server.into()), insecure_skip_tls_verify: Some(insecure), ..Cluster::default() };
            server_uri(&cluster, &User::default()).map(|uri| display(&uri))
        };
        for (server, insecure, expected) in [
            ("https://api.lab:6443", false, "https://api.lab:6443"),
            ("https://api.lab:6443/", false, "https://api.lab:6443"),
            ("https://me:secret@api.lab/k8s/clusters/c-1/", false, "https://api.lab/k8s/clusters/c-1"),
            ("localhost:8080", false, "http://localhost:8080"),
            ("api.lab:6443", true, "https://api.lab:6443"),
            ("https://[::1]:6443", false, "https://[::1]:6443"),
        ] {
            assert_eq!(uri(server, insecure).unwrap(), expected, "{server}");
        }
        for server in ["", "ftp://api.lab", "https://", "https://a b", "https:///x", "://x"] {
            assert!(uri(server, false).is_err(), "{server}");
        }
    }

    #[test]
    fn proxies() {
        for (text, expected) in [
            ("proxy:3128", "http://proxy:3128/"),
            ("http://proxy:3128", "http://proxy:3128/"),
            ("socks5h://proxy:1080", "socks5://proxy:1080/"),
            ("https://u:p@proxy", "https://u:p@proxy/"),
        ] {
            assert_eq!(proxy_uri(text, "it").unwrap().to_string(), expected, "{text}");
        }
        for text in ["ftp://proxy", "http://", "a b"] {
            assert!(proxy_uri(text, "it").is_err(), "{text}");
        }
    }
}
