//! The container image, by its whole name. A short one means what whoever pulls it makes of it: a registry that nobody chose, and
//! today's image instead of the one that was looked at.

use std::fmt;
use std::str::FromStr;

/// An image reference with registry host, repository, and a tag or digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image(String);

impl Image {
    /// The reference.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Image {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let because = |why: &str| {
            format!(
                "{text:?} {why}: write the registry's host, the repository, and a tag or a digest, such as registry.example/secure-registry-operator:0.1.0"
            )
        };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        let Some((host, path)) = rest.split_once('/') else {
            return Err(because("names no registry"));
        };
        // As every container runtime tells a host from the first part of a repository.
        if !(host.contains(['.', ':']) || host == "localhost") || !is_host(host) {
            return Err(because("begins with what is no registry's host"));
        }
        let (repository, tag) = match path.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (path, None),
        };
        if !repository.split('/').all(is_component) {
            return Err(because("has a repository that is none"));
        }
        match (tag, digest) {
            (None, None) => return Err(because("has neither tag nor digest")),
            (Some("latest"), None) => return Err(because("says latest, which is another image tomorrow")),
            (Some(tag), _) if !is_tag(tag) => return Err(because("has a tag that is none")),
            (_, Some(digest)) if !is_digest(digest) => return Err(because("has a digest that is none")),
            (Some(_) | None, _) => {}
        }
        Ok(Image(text.to_owned()))
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name or an address, with a port or without.
fn is_host(text: &str) -> bool {
    let (name, port) = text.split_once(':').unwrap_or((text, "443"));
    let label = |label: &str| {
        let fit = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !label.is_empty() && label.bytes().all(fit) && !label.starts_with('-') && !label.ends_with('-')
    };
    name.split('.').all(label) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// One part of a repository: lower case, separators only inside.
fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = [text.bytes().next(), text.bytes().last()];
    ends.iter().all(|end| end.is_some_and(alphanumeric))
        && text.bytes().all(|b| alphanumeric(b) || matches!(b, b'.' | b'_' | b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

fn is_digest(text: &str) -> bool {
    let hex = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
    match text.split_once(':') {
        Some(("sha256", digits)) => digits.len() == 64 && hex(digits),
        Some(("sha512", digits)) => digits.len() == 128 && hex(digits),
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_reference_is_taken_as_it_is() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for text in [
            "registry.example/secure-registry-operator:0.1.0".to_owned(),
            "contoso.azurecr.io/platform/sreg__x/operator:v1_2-rc.3".to_owned(),
            "localhost/operator:1".to_owned(),
            "localhost:5000/operator:1".to_owned(),
            "10.0.0.1:5000/a/b:1".to_owned(),
            format!("registry.example/operator@{digest}"),
            format!("registry.example/operator:latest@{digest}"),
        ] {
            assert_eq!(text.parse::<Image>().map(|image| image.to_string()), Ok(text));
        }
    }

    #[test]
    fn whatever_leaves_something_to_the_node_is_refused_with_what_to_write() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for (text, why) in [
            ("", "names no registry"),
            ("secure-registry-operator:0.1.0", "names no registry"),
            ("library/operator:1", "no registry's host"),
            ("https://registry.example/operator:1", "no registry's host"),
            ("registry.example:x/operator:1", "no registry's host"),
            (".example/operator:1", "no registry's host"),
            ("registry.example/operator", "neither tag nor digest"),
            ("registry.example:5000/operator", "neither tag nor digest"),
            ("registry.example/operator:latest", "latest"),
            ("registry.example/operator:", "a tag that is none"),
            ("registry.example/operator:a b", "a tag that is none"),
            ("registry.example/:1", "a repository that is none"),
            ("registry.example/Operator:1", "a repository that is none"),
            ("registry.example/../x:1", "a repository that is none"),
            ("registry.example/operator@sha256:0a", "a digest that is none"),
            (
                &format!("registry.example/operator@{digest}@{digest}"),
                "a digest that is none",
            ),
            ("registry.example/operator:1 ", "a tag that is none"),
            ("registry.example/operator:1\n", "a tag that is none"),
        ] {
            let said = text.parse::<Image>().unwrap_err();
            assert!(
                said.contains(why) && said.contains("registry.example/secure-registry-operator:0.1.0"),
                "{said}"
            );
        }
    }
}
