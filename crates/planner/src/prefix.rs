//! Address prefixes, as accept lists write them: `203.0.113.0/24`, `2001:db8::/32`, or one address.

use std::net::IpAddr;

/// An address prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix {
    base: u128,
    bits: u32,
    v4: bool,
}

impl Prefix {
    /// `None` for anything that is neither an address nor a prefix.
    pub(crate) fn parse(text: &str) -> Option<Prefix> {
        let (address, length) = match text.trim().split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text.trim(), None),
        };
        let (base, v4) = number(address.parse().ok()?);
        let widest = if v4 { 32 } else { 128 };
        let bits = match length {
            Some(length) => length.parse::<u32>().ok().filter(|bits| *bits <= widest)?,
            None => widest,
        };
        Some(Prefix { base, bits, v4 })
    }

    /// Whether an address lies in it.
    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        let (value, v4) = number(address);
        let shift = if self.v4 { 32 } else { 128 } - self.bits;
        let cut = |n: u128| n.checked_shr(shift).unwrap_or(0);
        v4 == self.v4 && cut(value) == cut(self.base)
    }
}

fn number(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), true),
        IpAddr::V6(v6) => (u128::from(v6), false),
    }
}

/// Whether an address is one that a client has on the internet, not in a private network.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]);
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || shared)
        }
        IpAddr::V6(v6) => {
            !(v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Prefix, is_public};

    #[test]
    fn a_prefix_holds_its_addresses_and_no_others() {
        for (prefix, address, held) in [
            ("203.0.113.0/24", "203.0.113.200", true),
            ("203.0.113.0/24", "203.0.114.1", false),
            ("203.0.113.7", "203.0.113.7", true),
            ("203.0.113.7", "203.0.113.8", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("203.0.113.0/24", "::ffff:203.0.113.9", true),
        ] {
            assert_eq!(
                Prefix::parse(prefix).unwrap().holds(address.parse().unwrap()),
                held,
                "{prefix} {address}"
            );
        }
    }

    #[test]
    fn what_is_no_prefix_is_refused() {
        for text in ["", "office", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8", "::/129"] {
            assert_eq!(Prefix::parse(text), None, "{text}");
        }
    }
    #[test]
    fn private_addresses_of_every_kind_are_told_from_public_ones() {
        for public in ["20.1.2.3", "2603:1030::1", "172.32.0.1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "10.1.2.3",
            "192.168.1.1",
            "172.16.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }
}
