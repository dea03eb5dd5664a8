//! One Azure cloud: every endpoint, audience, name suffix, private-link zone and API version that differs between clouds.
//! A value; `cloud_documents` reads it from YAML. Nothing else in the workspace writes one of these literals.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::ids::Fqdn;
use crate::target::EndpointGroup;

/// One Azure cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cloud {
    /// What it is called in logs and messages.
    pub name: String,
    /// Entra ID, which issues tokens.
    pub authority_host: HttpsUrl,
    /// Audience of the ServiceAccount token that Entra ID exchanges for one of its own.
    pub token_exchange_audience: String,
    /// Azure Resource Manager.
    pub resource_manager: Service,
    /// Log Analytics' query API.
    pub log_analytics: LogAnalytics,
    /// Azure Machine Learning beyond Resource Manager.
    pub machine_learning: MachineLearning,
    /// Storage beyond Resource Manager.
    pub storage: Storage,
    /// Names of the targets.
    pub private_link: PrivateLink,
    /// API versions of Resource Manager.
    pub api_versions: ApiVersions,
}

impl Cloud {
    /// Suffix of the public names of a group.
    pub fn suffix(&self, group: EndpointGroup) -> &str {
        self.private_link.of(group).suffix.as_str()
    }

    /// Name of the private DNS zone of a group.
    pub fn zone(&self, group: EndpointGroup) -> String {
        self.private_link.of(group).zone.to_string()
    }

    /// The name in the group's zone that a public name becomes once the target has an endpoint. `None` where the name does not
    /// lie below the group's suffix.
    pub fn private_link_name(&self, group: EndpointGroup, fqdn: &Fqdn) -> Option<String> {
        Some(format!("{}.{}", self.record_name(group, fqdn)?, self.zone(group)))
    }

    /// Name of a public name's record set within the group's zone. `None` as for [`Cloud::private_link_name`].
    pub fn record_name(&self, group: EndpointGroup, fqdn: &Fqdn) -> Option<String> {
        head(fqdn.as_str(), self.suffix(group)).map(str::to_owned)
    }

    /// The public name of a name in a private-link zone of this cloud; any other name as it is.
    pub fn public_name(&self, fqdn: &Fqdn) -> Option<Fqdn> {
        let in_zone = |names: &PrivateLinkNames| {
            head(fqdn.as_str(), names.zone.as_str()).map(|head| format!("{head}.{}", names.suffix))
        };
        match self.private_link.all().into_iter().find_map(in_zone) {
            Some(public) => public.parse().ok(),
            None => Some(fqdn.clone()),
        }
    }

    /// Whether the version of container registries that is asked for names their subnet rules. One that does not may show them or not
    /// (azure.md §5.2, U37).
    pub fn shows_registry_subnets(&self) -> bool {
        let version = self.api_versions.of("Microsoft.ContainerRegistry/registries");
        version.is_some_and(|version| version.as_str() >= "2026-11-01")
    }

    /// Suffixes of the hosts that agents may contact: those of the targets, and those that discovery sends clients to.
    pub fn host_suffixes(&self) -> Vec<String> {
        let targets = self.private_link.all().map(|names| names.suffix.to_string());
        let others = self.machine_learning.client_host_suffixes.iter().map(Fqdn::to_string);
        targets.into_iter().chain(others).collect()
    }
}

/// What stands before `.suffix`.
fn head<'a>(name: &'a str, suffix: &str) -> Option<&'a str> {
    let head = name.strip_suffix(suffix)?.strip_suffix('.')?;
    (!head.is_empty()).then_some(head)
}

/// An API and the audience of the tokens for it: they change together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// Where it is.
    pub endpoint: HttpsUrl,
    /// Audience of tokens for it.
    pub audience: Audience,
}

/// Log Analytics' query API (azure.md §8.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogAnalytics {
    /// Where it is.
    pub endpoint: HttpsUrl,
    /// Audience of tokens for it.
    pub audience: Audience,
    /// First segment of its paths.
    pub api_version: PathSegment,
}

/// Azure Machine Learning beyond Resource Manager (azure.md §2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MachineLearning {
    /// Audience of tokens for discovery where it refuses one for Resource Manager.
    pub audience: Audience,
    /// Asked instead of the scheme, host and port that a registry's `discoveryUrl` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery_endpoint: Option<HttpsUrl>,
    /// Suffixes of hosts outside the targets' names that discovery sends clients to.
    pub client_host_suffixes: Vec<Fqdn>,
}

/// Storage beyond Resource Manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Storage {
    /// `x-ms-version` of requests to blob and dfs.
    pub service_version: ApiVersion,
}

/// Names of the targets, by endpoint group (azure.md §3.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateLink {
    /// `amlregistry` of the registry.
    pub aml_registry: PrivateLinkNames,
    /// `blob` of storage.
    pub blob: PrivateLinkNames,
    /// `dfs` of storage.
    pub dfs: PrivateLinkNames,
    /// `registry` of the container registry.
    pub container_registry: PrivateLinkNames,
}

impl PrivateLink {
    /// Names of one group.
    pub fn of(&self, group: EndpointGroup) -> &PrivateLinkNames {
        match group {
            EndpointGroup::AmlRegistry => &self.aml_registry,
            EndpointGroup::Blob => &self.blob,
            EndpointGroup::Dfs => &self.dfs,
            EndpointGroup::ContainerRegistry => &self.container_registry,
        }
    }

    fn all(&self) -> [&PrivateLinkNames; 4] {
        [&self.aml_registry, &self.blob, &self.dfs, &self.container_registry]
    }
}

/// Names of the targets of one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrivateLinkNames {
    /// Public names lie below it.
    pub suffix: Fqdn,
    /// The private DNS zone that public names lead to by a CNAME.
    pub zone: Fqdn,
}

/// API versions by resource type, which is compared in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiVersions(BTreeMap<String, ApiVersion>);

impl ApiVersions {
    /// Versions by resource type in any case.
    pub(crate) fn new(versions: impl IntoIterator<Item = (String, ApiVersion)>) -> ApiVersions {
        let lower = |(kind, version): (String, ApiVersion)| (kind.to_ascii_lowercase(), version);
        ApiVersions(versions.into_iter().map(lower).collect())
    }

    /// The version of a resource type such as `microsoft.network/privatednszones/a`: its own, else that of the closest type that
    /// it is a child of. `None`: the table has neither.
    pub fn of(&self, resource_type: &str) -> Option<&ApiVersion> {
        let lower = resource_type.to_ascii_lowercase();
        let mut kind = lower.as_str();
        loop {
            if let Some(version) = self.0.get(kind) {
                return Some(version);
            }
            kind = kind.rsplit_once('/')?.0;
        }
    }
}

/// A date, perhaps with `-preview`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApiVersion(String);

impl ApiVersion {
    /// As it stands in a query.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ApiVersion {
    type Error = String;

    fn try_from(text: String) -> Result<ApiVersion, String> {
        let date = text.strip_suffix("-preview").unwrap_or(&text);
        let is_date = date.len() == 10
            && date.bytes().enumerate().all(|(at, byte)| match at {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        is_date
            .then_some(ApiVersion(text))
            .ok_or_else(|| "write an API version as a date, such as 2025-12-01 or 2025-12-01-preview".to_owned())
    }
}

/// A URL with https, a host and perhaps a port, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HttpsUrl(Url);

impl HttpsUrl {
    /// The URL.
    pub fn as_url(&self) -> &Url {
        &self.0
    }
}

impl TryFrom<Url> for HttpsUrl {
    type Error = String;

    fn try_from(url: Url) -> Result<HttpsUrl, String> {
        let anonymous = url.username().is_empty() && url.password().is_none();
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        (url.scheme() == "https" && url.has_host() && anonymous && bare)
            .then_some(HttpsUrl(url))
            .ok_or_else(|| {
                "write a URL with https, a host and perhaps a port, such as https://management.example".to_owned()
            })
    }
}

impl TryFrom<String> for HttpsUrl {
    type Error = String;

    fn try_from(text: String) -> Result<HttpsUrl, String> {
        let said = |_| format!("{text:?} is no URL: write one such as https://management.example");
        Url::parse(&text).map_err(said)?.try_into()
    }
}

/// What a token is for: a URL of any scheme; `/.default` is not part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Audience(String);

impl Audience {
    /// The scope that a token for this audience is asked with.
    pub fn scope(&self) -> String {
        format!("{}/.default", self.0)
    }
}

impl TryFrom<String> for Audience {
    type Error = String;

    fn try_from(text: String) -> Result<Audience, String> {
        let fits = Url::parse(&text).is_ok_and(|url| url.has_host()) && !text.ends_with("/.default");
        fits.then_some(Audience(text)).ok_or_else(|| {
            "write an audience as a URL without /.default, such as https://management.example".to_owned()
        })
    }
}

/// One segment of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathSegment(String);

impl PathSegment {
    /// As it stands in a path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PathSegment {
    type Error = String;

    fn try_from(text: String) -> Result<PathSegment, String> {
        let fits = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        (fits && !text.is_empty())
            .then_some(PathSegment(text))
            .ok_or_else(|| "write one segment of a path, such as v1".to_owned())
    }
}

/// Written as they were read.
macro_rules! shown_as_text {
    ($($name:ident),*) => {$(
        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    )*};
}

shown_as_text!(ApiVersion, HttpsUrl, Audience, PathSegment);
