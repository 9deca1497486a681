//! Which proxy leads to a server, as Go's `ProxyFromEnvironment` decides it. (`kube` 5.0 compares NO_PROXY with the proxy's own
//! address, and lets it overrule the `proxy-url` of the kubeconfig.)

use std::net::IpAddr;

use super::Environment;

/// The proxy of the environment for a server: its URL as written.
pub(super) fn from_environment<'a>(environment: &'a Environment, server: &http::Uri) -> Option<&'a str> {
    let https = server.scheme_str() == Some("https");
    let proxy = if https { &environment.https_proxy } else { &environment.http_proxy };
    let proxy = proxy.as_deref().filter(|proxy| !proxy.is_empty())?;
    let host = server.host()?.trim_start_matches('[').trim_end_matches(']');
    let port = server.port_u16().unwrap_or(if https { 443 } else { 80 });
    if is_loopback(host) || excepts(environment.no_proxy.as_deref().unwrap_or_default(), host, port) {
        return None;
    }
    Some(proxy)
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether NO_PROXY has the host: `*`, an address, a CIDR, `example.com` (itself and below) or `.example.com` (below only), each
/// but the first two with an optional port.
fn excepts(no_proxy: &str, host: &str, port: u16) -> bool {
    let address = host.parse::<IpAddr>().ok();
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    no_proxy.split(',').map(|entry| entry.trim().to_ascii_lowercase()).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        if let Some((network, bits)) = entry.split_once('/') {
            let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
            return address.is_some_and(|address| in_network(address, network, bits));
        }
        let (name, wanted_port) = split_port(&entry);
        if wanted_port.is_some_and(|wanted| wanted != port) {
            return false;
        }
        if let Ok(excepted) = name.parse::<IpAddr>() {
            return address == Some(excepted);
        }
        let name = name.strip_prefix('*').unwrap_or(name);
        match name.strip_prefix('.') {
            Some(parent) => host.strip_suffix(parent).is_some_and(|below| below.len() > 1 && below.ends_with('.')),
            None => host == name || host.strip_suffix(name).is_some_and(|below| below.ends_with('.')),
        }
    })
}

fn split_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((address, rest)) = entry.strip_prefix('[').and_then(|entry| entry.split_once(']')) {
        return (address, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') => (name, port.parse().ok()),
        _ => (entry, None),
    }
}

fn in_network(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    fn same_front(a: u128, b: u128, width: u32, bits: u32) -> bool {
        bits <= width && (a ^ b).checked_shr(width - bits).unwrap_or(0) == 0
    }
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            same_front(address.to_bits().into(), network.to_bits().into(), 32, bits)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => same_front(address.to_bits(), network.to_bits(), 128, bits),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions() {
        for (no_proxy, host, port, expected) in [
            ("", "api.lab", 6443, false),
            ("*", "api.lab", 6443, true),
            ("lab", "api.lab", 6443, true),
            ("lab", "lab", 6443, true),
            ("lab", "collab", 6443, false),
            (".lab", "api.lab", 6443, true),
            (".lab", "lab", 6443, false),
            ("*.lab", "api.lab", 6443, true),
            ("API.Lab.", "api.lab", 6443, false),
            ("other , api.lab", "API.LAB", 6443, true),
            ("api.lab:443", "api.lab", 6443, false),
            ("api.lab:6443", "api.lab", 6443, true),
            ("10.0.0.0/8", "10.2.3.4", 6443, true),
            ("10.0.0.0/8", "11.2.3.4", 6443, false),
            ("0.0.0.0/0", "11.2.3.4", 6443, true),
            ("::/0", "11.2.3.4", 6443, false),
            ("fd00::/8", "fd01::1", 6443, true),
            ("10.0.0.0/99", "10.2.3.4", 6443, false),
            ("10.2.3.4", "10.2.3.4", 6443, true),
            ("10.2.3.4:80", "10.2.3.4", 6443, false),
            ("[fd01::1]:6443", "fd01::1", 6443, true),
            ("fd01::1", "fd01::1", 6443, true),
            (",,", "api.lab", 6443, false),
        ] {
            assert_eq!(excepts(no_proxy, host, port), expected, "{no_proxy} {host}:{port}");
        }
    }

    #[test]
    fn the_environment_decides() {
        let environment = Environment {
            https_proxy: Some("secure:3128".into()),
            http_proxy: Some("plain:3128".into()),
            no_proxy: Some("corp".into()),
            ..Environment::default()
        };
        for (server, expected) in [
            ("https://api.lab:6443", Some("secure:3128")),
            ("http://api.lab:8080", Some("plain:3128")),
            ("https://api.corp:6443", None),
            ("https://127.0.0.1:6443", None),
            ("https://[::1]:6443", None),
            ("https://localhost:6443", None),
        ] {
            assert_eq!(from_environment(&environment, &server.parse().unwrap()), expected, "{server}");
        }
    }
}
