//! What clients have to be told so that they ask a running simulator: shell lines for `az`, the SDKs, Terraform, and tools that know
//! the public cloud only, made from the file that it writes when it starts. Who signs in is the reader's choice: `AZURE_CLIENT_ID`
//! and `AZURE_CLIENT_SECRET` of one of the seed's principals.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

/// Whose configuration is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Audience {
    // A cloud of its own, registered by endpoint discovery.
    /// The Azure command line.
    Az,
    // Variables that `EnvironmentCredential` and its kin read.
    /// Azure's SDKs.
    Sdk,
    /// Terraform's azurerm and azapi.
    Terraform,
    // A proxy that leads from there.
    /// Tools that know the public cloud's own addresses only.
    PublicCloud,
}

/// What `azure-sim.json` says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    arm_endpoint: String,
    ca_file: String,
    tenant_id: String,
    networks: BTreeMap<String, Network>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Network {
    curl_proxy: String,
}

/// Lines for a shell, as they are typed or evaluated.
///
/// # Errors
/// No simulator has written its file in this folder; or its world has no network to connect from.
pub fn shell_lines(state_folder: &Path, audience: Audience) -> anyhow::Result<String> {
    let path = state_folder.join("azure-sim.json");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("read {}: is azure-sim serving with this --state-dir?", path.display()))?;
    let state: State = serde_json::from_str(&text).with_context(|| format!("understand {}", path.display()))?;
    lines(&state, audience)
}

/// A word for a POSIX shell, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn lines(state: &State, audience: Audience) -> anyhow::Result<String> {
    let (arm, ca, tenant) = (
        quoted(&state.arm_endpoint),
        quoted(&state.ca_file),
        quoted(&state.tenant_id),
    );
    Ok(match audience {
        Audience::Az => format!(
            "export REQUESTS_CA_BUNDLE={ca} AZURE_CORE_INSTANCE_DISCOVERY=false\n\
             az cloud register --name AzureSim --endpoint-resource-manager {arm}\n\
             az cloud set --name AzureSim\n\
             az login --service-principal --username \"$AZURE_CLIENT_ID\" --password \"$AZURE_CLIENT_SECRET\" --tenant {tenant}\n"
        ),
        Audience::Sdk => format!(
            "export AZURE_AUTHORITY_HOST={arm} AZURE_RESOURCE_MANAGER={arm} AZURE_TENANT_ID={tenant}\n\
             export REQUESTS_CA_BUNDLE={ca} SSL_CERT_FILE={ca} NODE_EXTRA_CA_CERTS={ca}\n\
             export ARM_CLOUD_METADATA_URL={arm}'/metadata/endpoints?api-version=2019-05-01'\n"
        ),
        Audience::Terraform => {
            let host = state.arm_endpoint.trim_start_matches("https://");
            let host = quoted(host);
            format!(
                "export ARM_METADATA_HOSTNAME={host} ARM_METADATA_HOST={host} ARM_TENANT_ID={tenant} SSL_CERT_FILE={ca}\n\
                 export ARM_CLIENT_ID=\"$AZURE_CLIENT_ID\" ARM_CLIENT_SECRET=\"$AZURE_CLIENT_SECRET\"\n\
                 export ARM_SKIP_PROVIDER_REGISTRATION=true\n"
            )
        }
        Audience::PublicCloud => {
            let any = state.networks.get("internet").or(state.networks.values().next());
            let network = any.context("the seed has no network to connect from")?;
            let proxy = quoted(&format!("socks5h://{}", network.curl_proxy));
            format!(
                "export HTTPS_PROXY={proxy} NO_PROXY='' REQUESTS_CA_BUNDLE={ca} SSL_CERT_FILE={ca} NODE_EXTRA_CA_CERTS={ca}\n\
                 export AZURE_TENANT_ID={tenant}\n"
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_a_shell_would_take_for_more_than_a_word_is_quoted() {
        let state = State {
            arm_endpoint: "https://127.0.0.1:4433".into(),
            ca_file: "/tmp/it's $HOME/ca.pem".into(),
            tenant_id: "t".into(),
            networks: BTreeMap::from([(
                "hub".into(),
                Network {
                    curl_proxy: "127.0.0.1:4433".into(),
                },
            )]),
        };
        for audience in [Audience::Az, Audience::Sdk, Audience::Terraform, Audience::PublicCloud] {
            let text = lines(&state, audience).unwrap();
            assert!(text.contains(r"'/tmp/it'\''s $HOME/ca.pem'"), "{text}");
            assert!(text.contains("127.0.0.1:4433'") && text.ends_with('\n'), "{text}");
        }
    }
}
