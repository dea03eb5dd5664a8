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
    parse(more).unwrap().azure.settings(secret.map(str::to_owned))
}

#[test]
fn without_flags_the_planner_gets_its_own_defaults() {
    let plan = parse(&[]).unwrap().plan.plan(Cloud::public());
    assert_eq!(plan.installation, "default");
    assert_eq!(plan.max_break_glass, Duration::from_secs(4 * 3600));
    assert_eq!(plan.floors, Floors::default());
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_to_write() {
    for (typed, says) in [
        (["--max-break-glass", "soon"], "write it like 30s"),
        (["--installation", "a/b"], "lower-case letters"),
        (["--azure-cloud", "german"], "usgovernment"),
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
fn a_cloud_brings_its_endpoints_and_a_flag_goes_before_them() {
    let identity = ["--azure-credential", "managed-identity"];
    let china = azure(&[identity, ["--azure-cloud", "china"]].concat(), None).unwrap();
    assert_eq!(china.arm_endpoint.as_str(), "https://management.chinacloudapi.cn/");
    assert_eq!(
        china.authority_host.unwrap().as_str(),
        "https://login.chinacloudapi.cn/"
    );
    assert_eq!(china.cloud, Cloud::china());
    assert_eq!(china.ml_audience, "https://ml.azure.cn");
    let own = azure(
        &[identity, ["--azure-arm-endpoint", "https://127.0.0.1:8443"]].concat(),
        None,
    )
    .unwrap();
    assert_eq!(own.arm_endpoint.as_str(), "https://127.0.0.1:8443/");
    assert_eq!(own.cloud, Cloud::public());
}
