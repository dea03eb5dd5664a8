//! What differs between Azure clouds: zone names and host suffixes (azure.md §3.2). Sovereign registry zones are unsettled
//! (U8) and therefore settings.

use serde::{Deserialize, Serialize};

use crate::ids::Fqdn;
use crate::target::EndpointGroup;

/// One Azure cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cloud {
    /// Suffix of registry names, such as `api.azureml.ms`.
    pub registry_suffix: String,
    /// Suffix of blob names.
    pub blob_suffix: String,
    /// Suffix of dfs names.
    pub dfs_suffix: String,
    /// Suffix of container registry names.
    pub container_registry_suffix: String,
}

impl Cloud {
    /// The public cloud.
    pub fn public() -> Cloud {
        Cloud {
            registry_suffix: "api.azureml.ms".into(),
            blob_suffix: "blob.core.windows.net".into(),
            dfs_suffix: "dfs.core.windows.net".into(),
            container_registry_suffix: "azurecr.io".into(),
        }
    }

    /// Azure Government. The registry zone is documented for workspaces only.
    pub fn us_government() -> Cloud {
        Cloud {
            registry_suffix: "api.ml.azure.us".into(),
            blob_suffix: "blob.core.usgovcloudapi.net".into(),
            dfs_suffix: "dfs.core.usgovcloudapi.net".into(),
            container_registry_suffix: "azurecr.us".into(),
        }
    }

    /// Azure operated by 21Vianet. The registry zone is documented for workspaces only.
    pub fn china() -> Cloud {
        Cloud {
            registry_suffix: "api.ml.azure.cn".into(),
            blob_suffix: "blob.core.chinacloudapi.cn".into(),
            dfs_suffix: "dfs.core.chinacloudapi.cn".into(),
            container_registry_suffix: "azurecr.cn".into(),
        }
    }

    /// Suffix of the public names of a group.
    pub fn suffix(&self, group: EndpointGroup) -> &str {
        match group {
            EndpointGroup::AmlRegistry => &self.registry_suffix,
            EndpointGroup::Blob => &self.blob_suffix,
            EndpointGroup::Dfs => &self.dfs_suffix,
            EndpointGroup::ContainerRegistry => &self.container_registry_suffix,
        }
    }

    /// Name of the private DNS zone of a group.
    pub fn zone(&self, group: EndpointGroup) -> String {
        format!("privatelink.{}", self.suffix(group))
    }

    /// The `privatelink.` name that a public name of a group becomes once the target has an endpoint. `None` where the name
    /// does not lie below the group's suffix.
    pub fn private_link_name(&self, group: EndpointGroup, fqdn: &Fqdn) -> Option<String> {
        let head = fqdn.as_str().strip_suffix(self.suffix(group))?.strip_suffix('.')?;
        Some(format!("{head}.{}", self.zone(group)))
    }

    /// Name of a public name's record set within the group's zone.
    pub fn record_name(&self, group: EndpointGroup, fqdn: &Fqdn) -> Option<String> {
        Some(
            fqdn.as_str()
                .strip_suffix(self.suffix(group))?
                .strip_suffix('.')?
                .to_owned(),
        )
    }

    /// Suffixes that agents may contact and that a discovery URL must lie below.
    pub fn host_suffixes(&self) -> [&str; 4] {
        [
            &self.registry_suffix,
            &self.blob_suffix,
            &self.dfs_suffix,
            &self.container_registry_suffix,
        ]
    }
}
