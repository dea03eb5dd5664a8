//! Clouds as YAML: the three that are built in (`crates/domain/clouds`), and a user's own, which has the same form. A document
//! says everything, or extends one of the built-in ones and says what differs.

use std::collections::BTreeMap;

use serde::Deserialize;
use strum::{Display, EnumIter, EnumString, IntoEnumIterator, VariantNames};

use crate::cloud::{
    ApiVersion, ApiVersions, Cloud, HttpsUrl, LogAnalytics, MachineLearning, PrivateLink, PrivateLinkNames, Service,
    Storage,
};

/// Clouds that need no document of the user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Display, EnumString, EnumIter, VariantNames)]
#[strum(ascii_case_insensitive)]
pub enum BuiltInCloud {
    /// The public cloud.
    AzurePublic,
    /// Azure Government.
    AzureUSGovernment,
    /// Azure operated by 21Vianet.
    AzureChina,
}

impl BuiltInCloud {
    /// Its document.
    pub fn document(self) -> &'static str {
        match self {
            BuiltInCloud::AzurePublic => include_str!("../clouds/azure-public.yaml"),
            BuiltInCloud::AzureUSGovernment => include_str!("../clouds/azure-us-government.yaml"),
            BuiltInCloud::AzureChina => include_str!("../clouds/azure-china.yaml"),
        }
    }

    /// The cloud itself.
    ///
    /// # Errors
    /// Never in a build that passed its tests: the document is part of it.
    pub fn cloud(self) -> Result<Cloud, CloudError> {
        Document::read(self.document())?.resolved()?.cloud()
    }
}

/// A cloud of the user's.
///
/// # Errors
/// The text is not a cloud's document; the error names the line or the field, and what to write.
pub fn from_yaml(text: &str) -> Result<Cloud, CloudError> {
    let document = Document::read(text)?;
    let taken = |name: &str| BuiltInCloud::iter().any(|built_in| built_in.to_string().eq_ignore_ascii_case(name));
    if taken(&document.name) {
        return Err(CloudError::field(
            "name",
            "it is built in: give another cloud a name of its own",
        ));
    }
    document.resolved()?.cloud()
}

/// Why a document is no cloud.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// It is no YAML, a field is unknown, or a value cannot be meant; the cause names line and column.
    #[error("read the cloud's document")]
    Yaml(#[source] Box<serde_saphyr::Error>),
    /// A field is missing, or its value cannot be used.
    #[error("read the cloud's document: {field}: {reason}")]
    Field {
        /// Which one.
        field: String,
        /// What is wrong, and what to write.
        reason: String,
    },
}

impl CloudError {
    fn field(field: impl Into<String>, reason: impl Into<String>) -> CloudError {
        CloudError::Field {
            field: field.into(),
            reason: reason.into(),
        }
    }
}

/// Resource types that are asked for by themselves; children have their parent's version.
const RESOURCE_TYPES: [&str; 16] = [
    "Microsoft.MachineLearningServices/registries",
    "Microsoft.Network/privateEndpoints",
    "Microsoft.Network/networkInterfaces",
    "Microsoft.Network/virtualNetworks",
    "Microsoft.Network/privateDnsZones",
    "Microsoft.Storage/storageAccounts",
    "Microsoft.ContainerRegistry/registries",
    "Microsoft.Authorization/denyAssignments",
    "Microsoft.Authorization/locks",
    "Microsoft.Authorization/permissions",
    "Microsoft.Authorization/policyAssignments",
    "Microsoft.Authorization/policyDefinitions",
    "Microsoft.Authorization/policySetDefinitions",
    "Microsoft.Authorization/policyExemptions",
    "Microsoft.Resources/tags",
    "Microsoft.OperationalInsights/workspaces",
];

/// Oldest versions that can be worked with, and what an older one lacks.
const OLDEST: [(&str, &str, &str); 3] = [
    (
        "Microsoft.MachineLearningServices/registries",
        "2025-04-01",
        "an older one does not know managedResourceGroupSettings",
    ),
    (
        "Microsoft.Network/privateDnsZones",
        "2024-06-01",
        "an older one does not know resolutionPolicy, and a write with it would be refused",
    ),
    (
        "Microsoft.Storage/storageAccounts",
        "2025-06-01",
        "an older one does not show ipv6Rules, and an open account would look closed",
    ),
];

/// A document as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    name: String,
    extends: Option<BuiltInCloud>,
    authority_host: Option<HttpsUrl>,
    token_exchange_audience: Option<String>,
    resource_manager: Option<Service>,
    log_analytics: Option<LogAnalytics>,
    machine_learning: Option<MachineLearning>,
    storage: Option<Storage>,
    #[serde(default)]
    private_link: PrivateLinkDocument,
    #[serde(default)]
    api_versions: BTreeMap<String, ApiVersion>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PrivateLinkDocument {
    aml_registry: Option<PrivateLinkNames>,
    blob: Option<PrivateLinkNames>,
    dfs: Option<PrivateLinkNames>,
    container_registry: Option<PrivateLinkNames>,
}

impl Document {
    fn read(text: &str) -> Result<Document, CloudError> {
        serde_saphyr::from_str(text).map_err(|error| CloudError::Yaml(Box::new(error)))
    }

    /// With what it says nothing of taken from the cloud that it extends. A section is taken as a whole, so that an endpoint and its
    /// audience belong to each other; only private links and API versions are taken one by one.
    fn resolved(self) -> Result<Document, CloudError> {
        let Some(base) = self.extends else {
            return Ok(self);
        };
        // Ends: a test sees to it that the built-in clouds extend nothing but the public one.
        let base = Document::read(base.document())?.resolved()?;
        Ok(self.over(base))
    }

    fn over(self, base: Document) -> Document {
        let mut api_versions = base.api_versions;
        for (kind, version) in self.api_versions {
            // However its case is: one type has one version.
            api_versions.retain(|known, _| !known.eq_ignore_ascii_case(&kind));
            api_versions.insert(kind, version);
        }
        let (own, link) = (self.private_link, base.private_link);
        Document {
            name: self.name,
            extends: None,
            authority_host: self.authority_host.or(base.authority_host),
            token_exchange_audience: self.token_exchange_audience.or(base.token_exchange_audience),
            resource_manager: self.resource_manager.or(base.resource_manager),
            log_analytics: self.log_analytics.or(base.log_analytics),
            machine_learning: self.machine_learning.or(base.machine_learning),
            storage: self.storage.or(base.storage),
            private_link: PrivateLinkDocument {
                aml_registry: own.aml_registry.or(link.aml_registry),
                blob: own.blob.or(link.blob),
                dfs: own.dfs.or(link.dfs),
                container_registry: own.container_registry.or(link.container_registry),
            },
            api_versions,
        }
    }

    fn cloud(self) -> Result<Cloud, CloudError> {
        if self.name.trim().is_empty() {
            return Err(CloudError::field("name", "it is empty: it stands in the log"));
        }
        let link = self.private_link;
        let private_link = PrivateLink {
            aml_registry: said("privateLink.amlRegistry", link.aml_registry)?,
            blob: said("privateLink.blob", link.blob)?,
            dfs: said("privateLink.dfs", link.dfs)?,
            container_registry: said("privateLink.containerRegistry", link.container_registry)?,
        };
        distinct(&private_link)?;
        check_versions(&self.api_versions)?;
        Ok(Cloud {
            name: self.name,
            authority_host: said("authorityHost", self.authority_host)?,
            token_exchange_audience: said("tokenExchangeAudience", self.token_exchange_audience)?,
            resource_manager: said("resourceManager", self.resource_manager)?,
            log_analytics: said("logAnalytics", self.log_analytics)?,
            machine_learning: said("machineLearning", self.machine_learning)?,
            storage: said("storage", self.storage)?,
            private_link,
            api_versions: ApiVersions::new(self.api_versions),
        })
    }
}

fn said<T>(field: &str, value: Option<T>) -> Result<T, CloudError> {
    value.ok_or_else(|| missing(field))
}

fn missing(field: &str) -> CloudError {
    CloudError::field(
        field,
        "it is missing: write it, or name the cloud that has it: extends: AzurePublic",
    )
}

/// A zone or suffix of two groups, or one that is the suffix itself, would make names ambiguous.
fn distinct(link: &PrivateLink) -> Result<(), CloudError> {
    let groups = [
        ("amlRegistry", &link.aml_registry),
        ("blob", &link.blob),
        ("dfs", &link.dfs),
        ("containerRegistry", &link.container_registry),
    ];
    for (at, (group, names)) in groups.iter().enumerate() {
        if names.zone == names.suffix {
            let field = format!("privateLink.{group}.zone");
            let reason = "it is the suffix of the public names: write the zone that they lead to";
            return Err(CloudError::field(field, reason));
        }
        for (other, others) in groups.iter().take(at) {
            for (part, same) in [
                ("suffix", names.suffix == others.suffix),
                ("zone", names.zone == others.zone),
            ] {
                if same {
                    let field = format!("privateLink.{group}.{part}");
                    return Err(CloudError::field(field, format!("{other} has the same one")));
                }
            }
        }
    }
    Ok(())
}

/// Every type has a version, none is unknown, and none is too old.
fn check_versions(versions: &BTreeMap<String, ApiVersion>) -> Result<(), CloudError> {
    let is = |kind: &str, known: &str| kind.eq_ignore_ascii_case(known);
    for kind in versions.keys() {
        if !RESOURCE_TYPES
            .iter()
            .any(|known| is(kind, known) || is_below(kind, known))
        {
            let reason = format!(
                "the operator asks for no such type: write one of {}",
                RESOURCE_TYPES.join(", ")
            );
            return Err(CloudError::field(format!("apiVersions.{kind}"), reason));
        }
    }
    for known in RESOURCE_TYPES {
        if !versions.keys().any(|kind| is(kind, known)) {
            return Err(missing(&format!("apiVersions.{known}")));
        }
    }
    for (known, oldest, lacks) in OLDEST {
        // A preview of the oldest date came before it, and a child knows what its parent knows.
        let too_old = |version: &str| version < oldest || version == format!("{oldest}-preview");
        for (kind, version) in versions
            .iter()
            .filter(|(kind, _)| is(kind, known) || is_below(kind, known))
        {
            if too_old(version.as_str()) {
                let reason = format!("{version} is too old, write {oldest} or a newer one: {lacks}");
                return Err(CloudError::field(format!("apiVersions.{kind}"), reason));
            }
        }
    }
    Ok(())
}

/// Whether `kind` is a child of the type `parent`.
fn is_below(kind: &str, parent: &str) -> bool {
    let (kind, parent) = (kind.to_ascii_lowercase(), parent.to_ascii_lowercase());
    kind.strip_prefix(&parent).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
