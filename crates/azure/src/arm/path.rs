//! The one place where the path of a URL is put together. A name goes in as one segment and comes out as one segment, escaped: it
//! never reaches the query, another segment or the path above. What no URL can carry as one segment is refused instead of
//! changed, because the parsers on the way would drop it (`..` and, within a segment, tabs and line ends) and another resource would be
//! asked.

use url::Url;

/// A segment that cannot stand in a path: no resource of Azure's has such a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is the name of no resource")]
pub(crate) struct Unfit(String);

/// Below the origin of `base` exactly these segments, and no query.
pub(crate) fn below<'a>(base: &Url, segments: impl IntoIterator<Item = &'a str>) -> Result<Url, Unfit> {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    {
        let mut path = url.path_segments_mut().map_err(|()| Unfit(base.to_string()))?;
        path.clear();
        for segment in segments {
            if !is_fit(segment) {
                return Err(Unfit(segment.chars().take(200).collect()));
            }
            path.push(segment);
        }
    }
    Ok(url)
}

/// Azure forbids these characters in every name. A percent sign is among them because a proxy may decode once more than we escape.
fn is_fit(segment: &str) -> bool {
    let unfit = |c: char| c.is_control() || "/\\?#%".contains(c);
    !segment.is_empty() && segment != "." && segment != ".." && !segment.contains(unfit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn base() -> Url {
        "https://arm.test/ignored?and=this#too".parse().unwrap()
    }

    #[test]
    fn what_would_lead_elsewhere_is_refused() {
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "../..",
            "a\\b",
            "a?api-version=1",
            "a#b",
            "a%2fb",
            "%2e%2e",
            "%",
            ".\t.",
            "a\tb",
            "a\r\nb",
            "a\0",
            "a\u{7f}",
            "a\u{85}",
        ] {
            assert_eq!(below(&base(), ["x", name]), Err(Unfit(name.to_owned())), "{name:?}");
        }
    }

    #[test]
    fn names_of_any_script_are_one_segment() {
        for (name, sent) in [
            ("models", "models"),
            ("rg-Größe", "rg-Gr%C3%B6%C3%9Fe"),
            ("资源组", "%E8%B5%84%E6%BA%90%E7%BB%84"),
            ("a b", "a%20b"),
            ("a;b&c=d+e@f:g(h)", "a;b&c=d+e@f:g(h)"),
            ("...", "..."),
            ("<x>", "%3Cx%3E"),
        ] {
            let url = below(&base(), ["x", name, "y"]).unwrap();
            assert_eq!(url.as_str(), format!("https://arm.test/x/{sent}/y"), "{name}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_name_holds_the_path_has_its_segments_and_no_more(name in any::<String>()) {
            if let Ok(url) = below(&base(), ["a", &name, "z"]) {
                let sent: Vec<&str> = url.path_segments().unwrap().collect();
                prop_assert_eq!(sent.len(), 3);
                prop_assert_eq!((sent[0], sent[2]), ("a", "z"));
                prop_assert_eq!(percent_decoded(sent[1]), name.into_bytes());
                prop_assert!(url.query().is_none() && url.fragment().is_none());
                // Whoever parses it again understands the same.
                prop_assert_eq!(Url::parse(url.as_str()).unwrap(), url);
            }
        }
    }

    fn percent_decoded(text: &str) -> Vec<u8> {
        let mut bytes = text.bytes();
        let mut decoded = Vec::new();
        while let Some(byte) = bytes.next() {
            decoded.push(if byte == b'%' {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            } else {
                byte
            });
        }
        decoded
    }
}
