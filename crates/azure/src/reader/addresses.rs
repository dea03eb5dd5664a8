//! Hosts, names and addresses in the many forms that Azure writes them. Pure.

use std::net::IpAddr;

use sreg_domain::Fqdn;
use url::Url;

/// The host of a URL or of a bare `host[:port][/path]`.
pub(super) fn host_of(text: &str) -> Option<Fqdn> {
    let text = text.trim();
    let host = match Url::parse(text) {
        Ok(url) if url.has_host() => url.host_str()?.to_owned(),
        Ok(_) | Err(_) => text.split(['/', ':', '?']).next()?.to_owned(),
    };
    host.parse().ok()
}

/// An address, with or without a port as some logs write it (U23).
pub(super) fn address_of(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(with_port) = text.parse::<std::net::SocketAddr>() {
        return Some(with_port.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_in_urls_and_bare_texts() {
        let table = [
            ("https://a.b.ms/path?x=1", Some("a.b.ms")),
            ("https://A.b.ms:8443", Some("a.b.ms")),
            ("a.b.ms", Some("a.b.ms")),
            ("a.b.ms:443", Some("a.b.ms")),
            ("a.b.ms/path", Some("a.b.ms")),
            ("", None),
            ("https://", None),
            ("not a host", None),
            ("localhost", None),
        ];
        for (text, host) in table {
            assert_eq!(host_of(text).as_ref().map(Fqdn::as_str), host, "{text:?}");
        }
    }

    #[test]
    fn addresses_lose_ports() {
        for (text, address) in [
            ("1.2.3.4:5678", "1.2.3.4"),
            ("1.2.3.4", "1.2.3.4"),
            ("[2001:db8::1]:1", "2001:db8::1"),
            ("[::1]", "::1"),
        ] {
            assert_eq!(address_of(text), Some(address.parse().unwrap()), "{text}");
        }
        assert_eq!(address_of("nobody"), None);
    }
}
