//! Names with rules: parsed once, at the edge; the inside cannot hold a bad one.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not the name it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct ParseError {
    /// What was given.
    pub text: String,
    /// What it should have been, with an example.
    pub expected: &'static str,
}

/// An ARM resource id. Compared, ordered and hashed lower-cased, because ids are case-insensitive and resource providers
/// re-case them (azure.md §12, trap 18); shown as first spelled. Names may hold letters of any script, as resource groups' do; an id
/// that comes percent-encoded is the same id.
///
/// ```
/// use sreg_domain::ArmId;
/// let a: ArmId = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ml/providers/Microsoft.Network/virtualNetworks/Hub".parse().unwrap();
/// let b: ArmId = a.to_string().to_lowercase().parse().unwrap();
/// assert_eq!(a, b);
/// assert_eq!(a.kind(), "microsoft.network/virtualnetworks");
/// assert_eq!(a.child("subnets", "endpoints").parent(), Some(a));
/// let plain: ArmId = "/subscriptions/s/resourceGroups/RG-Größe".parse().unwrap();
/// assert_eq!(plain, "/subscriptions/s/resourcegroups/rg-gr%C3%B6%C3%9Fe".parse().unwrap());
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ArmId {
    raw: String,
    key: String,
}

const ARM_ID: &str = "an ARM id such as /subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Network/virtualNetworks/NAME";

impl ArmId {
    /// The id as first spelled.
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// Lower-cased: the only form fit for a map key or a comparison as text.
    pub fn key(&self) -> &str {
        &self.key
    }

    fn segments(&self) -> impl Iterator<Item = &str> {
        self.raw.split('/').skip(1)
    }

    fn key_segment(&self, after: &str) -> Option<&str> {
        let mut segments = self.key.split('/').skip(1);
        segments.find(|s| *s == after)?;
        segments.next()
    }

    /// Lower-cased subscription id.
    pub fn subscription(&self) -> &str {
        self.key_segment("subscriptions").unwrap_or_default()
    }

    /// Lower-cased resource group name.
    pub fn resource_group(&self) -> Option<&str> {
        self.key_segment("resourcegroups")
    }

    /// The resource group that holds this resource, as an id.
    pub fn resource_group_id(&self) -> Option<ArmId> {
        let segments: Vec<&str> = self.segments().take(4).collect();
        (segments.len() == 4).then(|| ArmId::trusted(format!("/{}", segments.join("/"))))
    }

    /// The subscription, as an id.
    pub fn subscription_id(&self) -> ArmId {
        let segments: Vec<&str> = self.segments().take(2).collect();
        ArmId::trusted(format!("/{}", segments.join("/")))
    }

    /// Provider type, lower case, such as `microsoft.network/virtualnetworks/subnets`; for a resource group
    /// `resourcegroups`, for a subscription `subscriptions`.
    pub fn kind(&self) -> String {
        let segments: Vec<&str> = self.key.split('/').skip(1).collect();
        match segments.iter().rposition(|s| *s == "providers") {
            Some(at) => {
                let provider = segments.get(at + 1).copied().unwrap_or_default();
                let types = segments.iter().skip(at + 2).step_by(2);
                std::iter::once(provider)
                    .chain(types.copied())
                    .collect::<Vec<_>>()
                    .join("/")
            }
            None if segments.len() > 2 => "resourcegroups".into(),
            None => "subscriptions".into(),
        }
    }

    /// Last segment, as first spelled.
    pub fn name(&self) -> &str {
        self.raw.rsplit('/').next().unwrap_or_default()
    }

    /// The resource that this one is a child of; `None` for a top-level resource.
    pub fn parent(&self) -> Option<ArmId> {
        let kind = self.kind();
        if kind.matches('/').count() < 2 {
            return None;
        }
        let mut segments: Vec<&str> = self.segments().collect();
        segments.truncate(segments.len().saturating_sub(2));
        Some(ArmId::trusted(format!("/{}", segments.join("/"))))
    }

    /// A child resource of this one. A name that none can have is written so that it is no other resource's, and none that can be
    /// asked for.
    pub fn child(&self, kind: &str, name: &str) -> ArmId {
        ArmId::trusted(format!("{}/{kind}/{}", self.raw, segment(name)))
    }

    /// A resource of a provider in this resource group (or at this scope); of names as [`ArmId::child`].
    pub fn provider(&self, kind: &str, name: &str) -> ArmId {
        ArmId::trusted(format!("{}/providers/{kind}/{}", self.raw, segment(name)))
    }

    fn trusted(raw: String) -> ArmId {
        let key = lower_case(&raw);
        ArmId { raw, key }
    }
}

/// Lower case, letter by letter: never another number of letters, and never a letter of another script turned into an ASCII one
/// (the Kelvin sign into `k`), so that two names are one only where Azure cannot hold both.
fn lower_case(text: &str) -> String {
    let lower = |c: char| {
        let mut lowered = c.to_lowercase();
        match (lowered.next(), lowered.next()) {
            (Some(l), None) if c.is_ascii() || !l.is_ascii() => l,
            _ => c,
        }
    };
    text.chars().map(lower).collect()
}

/// Whether a text may stand between two slashes of an id. Azure's rules differ by type; what has a meaning in a URL or a query, or
/// cannot be seen, stands in none.
fn is_legal_segment(segment: &str) -> bool {
    let legal = |c: char| c.is_alphanumeric() || "-_.()$@*+=,:~ ".contains(c) || is_mark(c);
    let ends = segment.starts_with(' ') || segment.ends_with(' ');
    !segment.is_empty() && !ends && segment != "." && segment != ".." && segment.chars().all(legal)
}

/// A name as one segment of an id: as it is, or with its bytes spelled out where it would mean something else there. A percent sign is
/// legal in no id, so this names nothing that exists.
fn segment(name: &str) -> Cow<'_, str> {
    if is_legal_segment(name) {
        return Cow::Borrowed(name);
    }
    let spelled = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    Cow::Owned(if name.is_empty() {
        "%".to_owned()
    } else {
        name.bytes().map(spelled).collect()
    })
}

/// Marks that follow a letter and are none themselves: what stands above a letter where it is not written as one character, and the
/// signs without which Indic, Thai, Lao, Myanmar, Khmer and Tibetan words cannot be spelled. Azure takes them in names of resource groups.
fn is_mark(c: char) -> bool {
    const MARKS: [(char, char); 14] = [
        ('\u{300}', '\u{36f}'),
        ('\u{591}', '\u{5bd}'),
        ('\u{64b}', '\u{65f}'),
        ('\u{93c}', '\u{93c}'),
        ('\u{94d}', '\u{94d}'),
        ('\u{951}', '\u{954}'),
        ('\u{e47}', '\u{e4e}'),
        ('\u{ec8}', '\u{ece}'),
        ('\u{f35}', '\u{f39}'),
        ('\u{f82}', '\u{f87}'),
        ('\u{1037}', '\u{103a}'),
        ('\u{17c9}', '\u{17d3}'),
        ('\u{1dc0}', '\u{1dff}'),
        ('\u{3099}', '\u{309a}'),
    ];
    MARKS.iter().any(|(first, last)| (*first..=*last).contains(&c)) || is_indic_sign(c)
}

/// From Bengali to Sinhala the dot below a letter and the sign that takes its vowel away stand at the same place of each script's block.
fn is_indic_sign(c: char) -> bool {
    let code = u32::from(c);
    let place = code % 0x80;
    (0x980..0xd80).contains(&code) && matches!(place, 0x3c | 0x4d) || code == 0xdca
}

/// The text with `%xx` decoded, if it is one; a text that does not decode stays as it is.
fn decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = (*first == b'%').then(|| tail.get(..2)).flatten();
        let value = hex
            .and_then(|h| std::str::from_utf8(h).ok())
            .filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match value {
            // A slash or a zero that is written like this is part of no name.
            Some(value) if value != b'/' && value != 0 => {
                bytes.push(value);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

impl FromStr for ArmId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseError {
            text: text.chars().take(600).collect(),
            expected: ARM_ID,
        };
        let text = decoded(text);
        let trimmed = text.strip_suffix('/').unwrap_or(&text);
        let segments: Vec<&str> = trimmed.split('/').collect();
        let well_formed = trimmed.len() <= 2048
            && segments.first() == Some(&"")
            && segments.len() >= 3
            && segments.iter().skip(1).all(|s| is_legal_segment(s))
            && segments.get(1).is_some_and(|s| s.eq_ignore_ascii_case("subscriptions"))
            && segments.get(3).is_none_or(|s| {
                (s.eq_ignore_ascii_case("resourceGroups") && segments.len() > 4) || s.eq_ignore_ascii_case("providers")
            });
        let complete = match segments.iter().rposition(|s| s.eq_ignore_ascii_case("providers")) {
            Some(at) => segments.len() >= at + 4 && (segments.len() - at - 2).is_multiple_of(2),
            None => segments.len() == 3 || segments.len() == 5,
        };
        if well_formed && complete {
            Ok(ArmId::trusted(trimmed.to_owned()))
        } else {
            Err(bad())
        }
    }
}

impl TryFrom<String> for ArmId {
    type Error = ParseError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ArmId> for String {
    fn from(id: ArmId) -> String {
        id.raw
    }
}

impl AsRef<str> for ArmId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for ArmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.raw)
    }
}

impl PartialEq for ArmId {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}
impl Eq for ArmId {}
impl PartialOrd for ArmId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for ArmId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}
impl Hash for ArmId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// A fully qualified domain name, lower case, without the final dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fqdn(String);

impl Fqdn {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name is `suffix` or lies below it.
    pub fn is_below(&self, suffix: &str) -> bool {
        self.0
            .strip_suffix(suffix)
            .is_some_and(|head| head.is_empty() || head.ends_with('.'))
    }
}

impl FromStr for Fqdn {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let label = |l: &str| {
            (1..=63).contains(&l.len())
                && l.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
                && !l.starts_with('-')
                && !l.ends_with('-')
        };
        if name.len() <= 253 && name.contains('.') && name.split('.').all(label) {
            Ok(Fqdn(name))
        } else {
            Err(ParseError {
                text: text.chars().take(300).collect(),
                expected: "a fully qualified domain name such as contoso.azurecr.io",
            })
        }
    }
}

impl TryFrom<String> for Fqdn {
    type Error = ParseError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Fqdn> for String {
    fn from(name: Fqdn) -> String {
        name.0
    }
}

impl fmt::Display for Fqdn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An Azure region, normalised as ARM does: lower case, no spaces (`West Europe` is `westeurope`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Location(String);

impl Location {
    /// The normalised name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Location {
    fn from(text: String) -> Self {
        Location(
            text.chars()
                .filter(|c| !c.is_whitespace())
                .map(|c| c.to_ascii_lowercase())
                .collect(),
        )
    }
}

impl From<&str> for Location {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<Location> for String {
    fn from(location: Location) -> String {
        location.0
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "/subscriptions/s/resourceGroups/g";

    #[test]
    fn an_id_whose_segments_would_lead_elsewhere_is_none() {
        for name in [
            "", ".", "..", "a/../b", "a//b", "a?b", "a#b", "a%2fb", "a%2Fb", "a%252fb", "%2e%2e", "a%3fb", "a%23b",
            "a\\b", "a\tb", "a%0ab", "a%00b", "a\0b", " a", "a%20", "a%5cb",
        ] {
            let text = format!("{GROUP}/providers/Microsoft.Network/privateDnsZones/{name}");
            assert!(text.parse::<ArmId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn no_name_makes_a_child_another_resource() {
        let zone: ArmId = format!("{GROUP}/providers/Microsoft.Network/privateDnsZones/z")
            .parse()
            .unwrap();
        for name in [
            "",
            ".",
            "..",
            "../../privateDnsZones/other",
            "l/../../A/x",
            "l?x=1",
            "l#x",
            "l%2f..",
            "a\tb",
            " l",
            "Größe/x",
        ] {
            let link = zone.child("virtualNetworkLinks", name);
            assert_eq!(link.parent().as_ref(), Some(&zone), "{name:?}");
            assert_eq!(
                link.kind(),
                "microsoft.network/privatednszones/virtualnetworklinks",
                "{name:?}"
            );
            assert!(
                link.name().contains('%') && link.as_str().parse::<ArmId>().is_err(),
                "{link}"
            );
            let beside: ArmId = GROUP.parse().unwrap();
            assert_eq!(
                beside
                    .provider("Microsoft.Network/privateDnsZones", name)
                    .resource_group_id(),
                Some(beside)
            );
        }
        let of_all_scripts = [
            "rg-ที่ปรึกษา",
            "उत्पादन-प्रयोग",
            "উৎপাদন্",
            "தமிழ்",
            "සිංහල්",
            "ខ្មែរ",
            "မြန်မာ",
            "か\u{3099}",
        ];
        for name in ["sreg-hub-1", "Größe", "资源组", "a b", "a.b_c(d)"]
            .into_iter()
            .chain(of_all_scripts)
        {
            let link = zone.child("virtualNetworkLinks", name);
            assert_eq!(link.name(), name);
            assert_eq!(link.as_str().parse(), Ok(link), "{name}");
        }
    }
}
