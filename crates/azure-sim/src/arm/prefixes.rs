//! Address prefixes of networks and subnets: whether they are written well, lie in one another, or meet. Pure.

use serde_json::Value;

use super::answer::ArmError;
use super::path::name_of;
use crate::json::{list, text};
use crate::targets::{mask, parse_prefix};

/// The texts of a list.
pub(crate) fn strings(body: &Value, pointer: &str) -> Vec<String> {
    list(body, pointer)
        .iter()
        .map(|p| p.as_str().unwrap_or("").to_owned())
        .collect()
}

/// Prefixes of a subnet: the list where there is one, else the single one.
pub(crate) fn of_subnet(body: &Value) -> Vec<String> {
    let many = strings(body, "/properties/addressPrefixes");
    let one = text(body, "/properties/addressPrefix");
    match many.is_empty() && !one.is_empty() {
        true => vec![one.to_owned()],
        false => many,
    }
}

/// First and last address of an IPv4 prefix.
fn range(prefix: &str) -> Option<(u32, u32)> {
    let (base, bits) = parse_prefix(prefix)?;
    let first = u32::from(base) & mask(bits);
    Some((first, first | !mask(bits)))
}

/// Whether an IPv6 prefix is written well enough to be kept; none is ever given out.
fn is_ipv6(prefix: &str) -> bool {
    prefix.split_once('/').is_some_and(|(base, bits)| {
        base.parse::<std::net::Ipv6Addr>().is_ok() && bits.parse::<u8>().is_ok_and(|b| b <= 128)
    })
}

/// Refuses prefixes that are none, or whose address has bits to the right of its length.
pub(crate) fn check(prefixes: &[String], owner: &str) -> Result<(), ArmError> {
    for prefix in prefixes {
        let well_written = prefix.contains('/') && parse_prefix(prefix).is_some();
        let exact = parse_prefix(prefix).is_some_and(|(base, bits)| u32::from(base) & !mask(bits) == 0);
        if (well_written && exact) || is_ipv6(prefix) {
            continue;
        }
        let said = format!(
            "The address prefix {prefix} in resource {owner} has an invalid CIDR notation ({}).",
            name_of(owner)
        );
        return Err(ArmError::new(400, "InvalidCIDRNotation", said));
    }
    Ok(())
}

/// Whether `inner` lies in `outer`. IPv6 prefixes are compared by their text only.
pub(crate) fn within(inner: &str, outer: &str) -> bool {
    match (range(inner), range(outer)) {
        (Some((first, last)), Some((low, high))) => low <= first && last <= high,
        (None, None) => is_ipv6(inner) && is_ipv6(outer),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Whether two prefixes have an address in common.
pub(crate) fn meet(a: &str, b: &str) -> bool {
    match (range(a), range(b)) {
        (Some((first, last)), Some((low, high))) => first <= high && low <= last,
        (None, None) => a.eq_ignore_ascii_case(b),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Two prefixes of a list that meet.
pub(crate) fn overlap(all: &[String]) -> Option<(&str, &str)> {
    all.iter().enumerate().find_map(|(at, a)| {
        let other = all[at + 1..].iter().find(|b| meet(a, b))?;
        Some((a.as_str(), other.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_lie_in_one_another_or_meet() {
        assert!(within("10.0.1.0/24", "10.0.0.0/16") && !within("10.1.0.0/24", "10.0.0.0/16"));
        assert!(meet("10.0.0.0/24", "10.0.0.128/25") && !meet("10.0.0.0/25", "10.0.0.128/25"));
        let all = ["10.0.0.0/16", "10.1.0.0/16", "10.1.2.0/24"].map(str::to_owned);
        assert_eq!(overlap(&all), Some(("10.1.0.0/16", "10.1.2.0/24")));
        assert!(within("fd00:1::/64", "fd00::/48") && !within("fd00::/64", "10.0.0.0/8"));
    }

    #[test]
    fn a_prefix_that_is_none_is_refused() {
        let code = |prefix: &str| check(&[prefix.to_owned()], "/x/vnet").err().map(|e| e.code);
        assert_eq!(code("10.0.0.0/16"), None);
        assert_eq!(code("fd00::/48"), None);
        for wrong in ["10.0.0.1/24", "10.0.0.0", "10.0.0.0/33", "everywhere", ""] {
            assert_eq!(code(wrong).unwrap(), "InvalidCIDRNotation", "{wrong}");
        }
    }
}
