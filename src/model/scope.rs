//! One scope: nesting as the controller decides it, and validity as a node decides it when it reads a policy.json.

use super::policy::Transport;
use super::reference::check_digest;

/// Whether the controller takes `inner` to be equal to or inside of `outer` (domain.md 2.10). A node decides otherwise: a tag or
/// digest is not inside of its repository here.
pub fn is_nested(inner: &str, outer: &str) -> bool {
    if let Some(rest) = inner.strip_prefix(outer)
        && (rest.is_empty() || rest.starts_with('/'))
    {
        return true;
    }
    let Some(suffix) = outer.strip_prefix('*').filter(|suffix| suffix.starts_with('.')) else { return false };
    match inner.split_once(':') {
        Some((host, _)) => host.ends_with(suffix) && !host.contains('/'),
        None => inner.split('/').next().is_some_and(|host| host.ends_with(suffix)),
    }
}

/// Whether a node takes the scope in a policy.json. An invalid one makes the whole file unusable.
pub fn is_valid_scope(transport: &Transport, scope: &str) -> bool {
    if scope.is_empty() {
        return true;
    }
    match transport {
        Transport::Docker => true,
        Transport::Atomic => is_atomic(scope),
        Transport::DockerDaemon => check_digest(scope).is_err(),
        Transport::Other(name) => match &**name {
            "docker-archive" | "tarball" => false,
            "dir" | "oci" | "oci-archive" | "sif" => is_clean_path(scope),
            "containers-storage" => is_in_storage(scope),
            _ => true,
        },
    }
}

/// `^[^/]*(/[^:/]*(/[^:/]*(:[^:/]*)?)?)?$`: a tag only after exactly two slashes, and never a third slash.
fn is_atomic(scope: &str) -> bool {
    let mut parts = scope.split('/').skip(1);
    let (namespace, stream) = (parts.next(), parts.next());
    parts.next().is_none()
        && namespace.is_none_or(|namespace| !namespace.contains(':'))
        && stream.is_none_or(|stream| stream.bytes().filter(|&b| b == b':').count() <= 1)
}

/// An absolute path other than `/` that Go's `filepath.Clean` leaves alone.
fn is_clean_path(scope: &str) -> bool {
    scope.strip_prefix('/').is_some_and(|path| path.split('/').all(|part| !matches!(part, "" | "." | "..")))
}

/// `[driver@/graph/root]name@id` in its several forms.
fn is_in_storage(scope: &str) -> bool {
    let Some((store, image)) = scope.strip_prefix('[').and_then(|rest| rest.split_once(']')) else { return false };
    let root = match store.split_once('@') {
        Some((driver, root)) if !driver.is_empty() && !root.is_empty() => root,
        Some(_) => return false,
        None => store,
    };
    let mut parts = image.splitn(3, '@').skip(1);
    let is_digest = |text| check_digest(text).is_ok();
    root.starts_with('/')
        && match (parts.next(), parts.next()) {
            (None, _) => true,
            (Some(id), None) => is_image_id(id) || is_digest(id),
            (Some(digest), Some(id)) => is_digest(digest) && is_image_id(id),
        }
}

fn is_image_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_as_the_controller_decides_it() {
        for (inner, outer, nested) in [
            ("quay.io/ns/img:tag", "quay.io/ns", true),
            ("quay.io/ns/img@sha256:aa", "quay.io/ns", true),
            ("quay.io/ns/img:tag", "quay.io/ns/img", false),
            ("quay.io/ns/img", "quay.io/ns/img", true),
            ("quay.io/ns2", "quay.io/ns", false),
            ("ex.com:5000/a", "ex.com", false),
            ("ex.com:5000/a", "ex.com:5000", true),
            ("foo.ex.com:5000/ns", "*.ex.com", true),
            ("foo.ex.com/ns", "*.ex.com", true),
            ("*.foo.ex.com", "*.ex.com", true),
            ("foo.ex.com/ns/img:tag", "*.ex.com", false),
            ("foo.ex.com/ns@sha256:aa", "*.ex.com", false),
            ("ex.com", "*.ex.com", false),
            ("*.ex.com", "foo.ex.com", false),
            ("registry.iot.io", "*.io", true),
        ] {
            assert_eq!(is_nested(inner, outer), nested, "{inner} in {outer}");
        }
    }

    #[test]
    fn validity_as_a_node_decides_it() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let id = "a".repeat(64);
        for (transport, scope, valid) in [
            ("docker", "anything: at / all", true),
            ("atomic", "ex.com", true),
            ("atomic", "ex.com:5000", true),
            ("atomic", "*.ex.com", true),
            ("atomic", "ex.com/ns/repo:tag", true),
            ("atomic", "ex.com/ns/repo@sha256:aa", true),
            ("atomic", "ex.com/repo:tag", false),
            ("atomic", "ex.com:5000/repo:tag", false),
            ("atomic", "ex.com/repo@sha256:aa", false),
            ("atomic", "ex.com/ns/repo:tag@sha256:aa", false),
            ("atomic", "ex.com/a/b/c", false),
            ("docker-daemon", &digest, false),
            ("docker-daemon", "sha256:aa", true),
            ("docker-archive", "x", false),
            ("docker-archive", "", true),
            ("tarball", "x", false),
            ("dir", "/a/b", true),
            ("dir", "/", false),
            ("dir", "/a/", false),
            ("oci", "/a/../b", false),
            ("oci-archive", "a", false),
            ("sif", "/a//b", false),
            ("ostree", "x", true),
            ("unknown", "x", true),
            ("containers-storage", "[overlay@/var/lib]", true),
            ("containers-storage", "[/var/lib]docker.io/a", true),
            ("containers-storage", "[var/lib]", false),
            ("containers-storage", "[@/var]", false),
            ("containers-storage", "[]", false),
            ("containers-storage", "x", false),
            ("containers-storage", &format!("[/x]a@{id}"), true),
            ("containers-storage", &format!("[/x]a@{digest}@{id}"), true),
            ("containers-storage", &format!("[/x]a@{digest}@{digest}"), false),
        ] {
            assert_eq!(is_valid_scope(&Transport::from(transport), scope), valid, "{transport} {scope}");
        }
    }
}
