//! `/metadata/endpoints`: where a client learns the endpoints of a cloud, before it has a token (`az cloud register`,
//! Terraform's `metadata_host`). Every endpoint that the simulator has leads back to it; the suffixes are the public cloud's,
//! because so are the names that its data plane answers for. Pure.

use serde_json::{Value, json};

use super::answer::{ArmError, JsonResponse};

/// The audience of tokens for ARM in the public cloud, first in the list as there.
const AUDIENCES: [&str; 2] = ["https://management.core.windows.net/", "https://management.azure.com/"];

/// Whether a path is the document's.
pub(crate) fn is_asked(path: &str) -> bool {
    path.trim_end_matches('/').eq_ignore_ascii_case("/metadata/endpoints")
}

/// Answers a request; the form is that of the version asked for.
///
/// # Errors
/// 400 without an api-version, as in Azure; 405 for a write.
pub(crate) fn serve(method: &http::Method, version: Option<&str>, base: &str) -> Result<JsonResponse, ArmError> {
    let version = super::versions::required(version)?;
    if method != http::Method::GET {
        return Err(ArmError::method(method, "metadata/endpoints"));
    }
    let body = match version {
        // The first form had little more than the authority, and the one of 2019 is a list of clouds.
        "2015-01-01" | "2015-11-01" | "2018-05-01" => json!({
            "galleryEndpoint": "https://gallery.azure.com/", "graphEndpoint": "https://graph.windows.net/",
            "portalEndpoint": "https://portal.azure.com/",
            "authentication": {"loginEndpoint": base, "audiences": AUDIENCES},
        }),
        "2019-05-01" => json!([cloud(base)]),
        _ => cloud(base),
    };
    Ok(JsonResponse::new(200, body))
}

fn cloud(base: &str) -> Value {
    json!({
        "name": "AzureSim", "portal": "https://portal.azure.com",
        "authentication": {"loginEndpoint": base, "audiences": AUDIENCES, "tenant": "common", "identityProvider": "AAD"},
        "resourceManager": base, "media": "https://rest.media.azure.net", "graphAudience": "https://graph.windows.net/",
        "graph": "https://graph.windows.net/", "microsoftGraphResourceId": "https://graph.microsoft.com/",
        "gallery": "https://gallery.azure.com/", "batch": "https://batch.core.windows.net/",
        "sqlManagement": "https://management.core.windows.net:8443/",
        "vmImageAliasDoc": "https://raw.githubusercontent.com/Azure/azure-rest-api-specs/main/arm-compute/quickstart-templates/aliases.json",
        "activeDirectoryDataLake": "https://datalake.azure.net/", "attestationResourceId": "https://attest.azure.net",
        "appInsightsResourceId": "https://api.applicationinsights.io",
        "appInsightsTelemetryChannelResourceId": "https://dc.applicationinsights.azure.com/v2/track",
        "logAnalyticsResourceId": base, "ossrDbmsResourceId": "https://ossrdbms-aad.database.windows.net",
        "synapseAnalyticsResourceId": "https://dev.azuresynapse.net",
        "suffixes": {
            "acrLoginServer": "azurecr.io", "storage": "core.windows.net", "keyVaultDns": "vault.azure.net",
            "mhsmDns": "managedhsm.azure.net", "sqlServerHostname": "database.windows.net",
            "azureDataLakeStoreFileSystem": "azuredatalakestore.net",
            "azureDataLakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
            "azureFrontDoorEndpointSuffix": "azurefd.net", "attestationEndpoint": "attest.azure.net",
            "mariadbServerEndpoint": "mariadb.database.azure.com", "mysqlServerEndpoint": "mysql.database.azure.com",
            "postgresqlServerEndpoint": "postgres.database.azure.com", "storageSyncEndpointSuffix": "afs.azure.net",
            "synapseAnalytics": "dev.azuresynapse.net",
        },
    })
}
