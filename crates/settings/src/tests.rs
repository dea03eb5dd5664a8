//! What can be typed, and what it comes to.

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Everything {
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    azure: AzureArgs,
}

fn parse(more: &[&str]) -> Result<Everything, clap::Error> {
    Everything::try_parse_from([&["program", "--azure-tenant-id", "tenant"], more].concat())
}

fn azure(more: &[&str], secret: Option<&str>) -> Result<AzureSettings, SettingsError> {
    let typed = parse(more).unwrap().azure;
    typed.settings(typed.connection.cloud.cloud()?, secret.map(str::to_owned))
}

fn public() -> Arc<Cloud> {
    Arc::new(BuiltInCloud::AzurePublic.cloud().unwrap())
}

#[test]
fn without_flags_the_planner_gets_its_own_defaults() {
    let plan = parse(&[]).unwrap().plan.plan(public());
    assert_eq!(plan.installation, "default");
    assert_eq!(plan.max_break_glass, Duration::from_secs(4 * 3600));
    assert_eq!(plan.floors, Floors::default());
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_to_write() {
    for (typed, says) in [
        (["--max-break-glass", "soon"], "write it like 30s"),
        (["--installation", "a/b"], "lower-case letters"),
        (["--azure-cloud", "german"], "AzureUSGovernment"),
        (["--azure-credential", "password"], "workload-identity"),
    ] {
        let refused = parse(&typed).unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
    }
}

#[test]
fn each_credential_says_what_it_lacks() {
    let token = ["--azure-federated-token-file", "/token"];
    let id = ["--azure-client-id", "app"];
    let kind = |kind| ["--azure-credential", kind];
    for (typed, lacks) in [
        (token.to_vec(), "set --azure-client-id"),
        (id.to_vec(), "set --azure-federated-token-file"),
        (kind("client-secret").to_vec(), "set --azure-client-id"),
        (
            [kind("client-secret"), id].concat(),
            "set AZURE_CLIENT_SECRET or --azure-client-secret-file",
        ),
    ] {
        let refused = azure(&typed, None).unwrap_err().to_string();
        assert!(refused.contains(lacks), "{refused}");
    }
    for typed in [
        [token, id].concat(),
        kind("managed-identity").to_vec(),
        kind("azure-cli").to_vec(),
    ] {
        azure(&typed, None).unwrap();
    }
}

#[test]
fn a_secret_comes_from_the_file_before_the_environment_and_is_never_shown() {
    use secrecy::ExposeSecret;
    let path = std::env::temp_dir().join(format!("sreg-secret-{}", std::process::id()));
    std::fs::write(&path, "from-file\n").unwrap();
    let file = path.to_str().unwrap();
    let typed = ["--azure-credential", "client-secret", "--azure-client-id", "app"];
    let both = azure(
        &[&typed[..], &["--azure-client-secret-file", file]].concat(),
        Some("from-environment"),
    )
    .unwrap();
    let one = azure(&typed, Some("from-environment")).unwrap();
    for (settings, secret) in [(both, "from-file"), (one, "from-environment")] {
        let CredentialKind::ClientSecret(held) = &settings.credential else {
            panic!("{settings:?}")
        };
        assert_eq!(held.expose_secret(), secret);
        assert!(!format!("{settings:?}").contains(secret));
    }
    std::fs::remove_file(&path).unwrap();
    let gone = azure(&[&typed[..], &["--azure-client-secret-file", file]].concat(), None).unwrap_err();
    assert_eq!(gone.to_string(), format!("read {file} for --azure-client-secret-file"));
}

#[test]
fn a_cloud_brings_its_endpoints_and_an_authority_of_ones_own_goes_before_its() {
    let identity = ["--azure-credential", "managed-identity"];
    let china = azure(&[&identity[..], &["--azure-cloud", "azurechina"]].concat(), None).unwrap();
    assert_eq!(*china.cloud, BuiltInCloud::AzureChina.cloud().unwrap());
    assert_eq!(china.authority_host, None);
    let own = azure(
        &[&identity[..], &["--azure-authority-host", "https://127.0.0.1:8443"]].concat(),
        None,
    )
    .unwrap();
    assert_eq!(own.authority_host.unwrap().as_str(), "https://127.0.0.1:8443/");
    assert_eq!(own.cloud, public());
}

#[test]
fn a_cloud_of_ones_own_comes_from_its_file_and_what_is_wrong_there_is_told_with_file_and_line() {
    use std::error::Error as _;
    let path = std::env::temp_dir().join(format!("sreg-cloud-{}", std::process::id()));
    let file = path.to_str().unwrap();
    let typed = ["--azure-credential", "managed-identity", "--azure-cloud-file", file];
    let service = "{endpoint: https://arm.contoso.example, audience: https://arm.contoso.example}";
    std::fs::write(
        &path,
        format!("name: Contoso\nextends: AzurePublic\nresourceManager: {service}\n"),
    )
    .unwrap();
    let settings = azure(&typed, None).unwrap();
    assert_eq!(settings.cloud.name, "Contoso");
    assert_eq!(
        settings.cloud.resource_manager.endpoint.to_string(),
        "https://arm.contoso.example/"
    );

    std::fs::write(&path, "name: Contoso\nextends: AzurePublic\nresourceManger: x\n").unwrap();
    let refused = azure(&typed, None).unwrap_err();
    assert_eq!(refused.to_string(), format!("use {file} for --azure-cloud-file"));
    let cause = refused.source().and_then(|said| said.source()).unwrap().to_string();
    assert!(cause.contains("line 3") && cause.contains("resourceManger"), "{cause}");

    std::fs::remove_file(&path).unwrap();
    let gone = azure(&typed, None).unwrap_err().to_string();
    assert_eq!(gone, format!("read {file} for --azure-cloud-file"));
    let both = parse(&["--azure-cloud", "AzureChina", "--azure-cloud-file", file])
        .unwrap_err()
        .to_string();
    assert!(both.contains("cannot be used with"), "{both}");
}
