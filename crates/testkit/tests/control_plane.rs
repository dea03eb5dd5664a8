//! The control plane that other tests stand on is what it claims to be: the pinned version, RBAC on, tokens and audit log
//! real, gone when dropped.

// Clippy knows test functions, but not the functions they share.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{Api, ListParams, PostParams};
use serde_json::Value;
use sreg_testkit::{ControlPlane, eventually};

const SOON: Duration = Duration::from_secs(30);

async fn plane() -> &'static ControlPlane {
    ControlPlane::shared().await.unwrap()
}

/// A ServiceAccount that may read ConfigMaps, and nothing else.
fn reader(namespace: &str, name: &str) -> String {
    format!(
        "apiVersion: v1
kind: ServiceAccount
metadata: {{name: {name}, namespace: {namespace}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: {name}-reads, namespace: {namespace}}}
rules: [{{apiGroups: [''], resources: [configmaps], verbs: [get, list]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: {name}-may-read, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {name}-reads}}
subjects: [{{kind: ServiceAccount, name: {name}, namespace: {namespace}}}]
"
    )
}

#[tokio::test]
async fn the_server_is_the_pinned_one_and_so_is_kubectl() {
    let plane = plane().await;
    assert_eq!(plane.version(), "v1.37.2");
    let output = plane
        .kubectl(&["version", "-o", "json"], plane.admin_kubeconfig())
        .await
        .unwrap();
    let versions: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(versions["clientVersion"]["gitVersion"], "v1.37.2");
    assert_eq!(versions["serverVersion"]["gitVersion"], "v1.37.2");
}

#[tokio::test]
async fn a_user_without_rights_is_refused_until_rbac_grants_them() {
    let plane = plane().await;
    let namespace = plane.namespace("users").await.unwrap();
    let kubeconfig = plane.kubeconfig_for_user("erin", Some("data-science")).unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(plane.client(&kubeconfig).await.unwrap(), &namespace);
    let refused = maps.list(&ListParams::default()).await.unwrap_err();
    let kube::Error::Api(status) = refused else {
        panic!("not an answer of the server: {refused}")
    };
    assert!(status.is_forbidden(), "{status}");
    assert!(
        status
            .message
            .contains(r#"User "erin" cannot list resource "configmaps""#),
        "{status}"
    );

    let account = format!("kind: ServiceAccount, name: x, namespace: {namespace}");
    let group = "kind: Group, name: data-science, apiGroup: rbac.authorization.k8s.io";
    let binding = reader(&namespace, "x").replace(&account, group);
    plane.apply_yaml(&binding).await.unwrap();
    let bindings: Api<RoleBinding> = Api::namespaced(plane.admin_client().await.unwrap(), &namespace);
    assert_eq!(
        bindings.get("x-may-read").await.unwrap().subjects.unwrap()[0].kind,
        "Group"
    );
    eventually(SOON, "the group to be let in", || async {
        maps.list(&ListParams::default()).await
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_service_account_acts_under_its_own_name_and_rights() {
    let plane = plane().await;
    let namespace = plane.namespace("accounts").await.unwrap();
    plane.apply_yaml(&reader(&namespace, "agent")).await.unwrap();
    let kubeconfig = plane.kubeconfig_for_service_account(&namespace, "agent").await.unwrap();

    let who = plane
        .kubectl(&["auth", "whoami", "-o", "json"], &kubeconfig)
        .await
        .unwrap();
    let who: Value = serde_json::from_slice(&who.stdout).unwrap();
    let user = format!("system:serviceaccount:{namespace}:agent");
    assert_eq!(who["status"]["userInfo"]["username"], *user);

    let maps: Api<ConfigMap> = Api::default_namespaced(plane.client(&kubeconfig).await.unwrap());
    eventually(SOON, "the role to be known", || async {
        maps.list(&ListParams::default()).await
    })
    .await
    .unwrap();
    let refused = maps.delete("anything", &Default::default()).await.unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.is_forbidden()));

    // The server's own record says the same.
    eventually(SOON, "both requests in the audit log", || async {
        let log = plane.audit_log().unwrap();
        let of = |verb: &str, code: u16| {
            log.iter().any(|event| {
                event.user == user
                    && event.verb == verb
                    && event.resource == "configmaps"
                    && event.namespace == namespace
                    && event.code == code
            })
        };
        (of("list", 200) && of("delete", 403)).then_some(())
    })
    .await
    .unwrap();
    let log = plane.audit_log().unwrap();
    assert!(
        !log.iter().any(|event| event.user == user && event.is_write()),
        "a refused deletion counts as a write"
    );
    let applied =
        |event: &&sreg_testkit::AuditEvent| event.namespace == namespace && event.is_write() && event.user == "admin";
    assert_eq!(
        log.iter()
            .filter(applied)
            .map(|event| event.verb.as_str())
            .collect::<Vec<_>>(),
        ["patch"; 3]
    );
}

#[tokio::test]
async fn a_token_is_for_the_audience_that_was_asked_for() {
    use base64::Engine;
    let plane = plane().await;
    let namespace = plane.namespace("tokens").await.unwrap();
    plane.apply_yaml(&reader(&namespace, "operator")).await.unwrap();
    let audience = "api://AzureADTokenExchange";
    let hour = Duration::from_secs(3600);
    let token = plane
        .service_account_token(&namespace, "operator", &[audience], hour)
        .await
        .unwrap();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1).unwrap())
        .unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["aud"][0], audience);
    assert_eq!(claims["sub"], format!("system:serviceaccount:{namespace}:operator"));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);

    // It is none for the API server itself.
    let kubeconfig = plane.kubeconfig_for_token(&token, &namespace).unwrap();
    // (Asked by a client: how kubectl words a 401 depends on whether its discovery cache is still empty.)
    let maps: Api<ConfigMap> = Api::default_namespaced(plane.client(&kubeconfig).await.unwrap());
    let refused = maps.list(&ListParams::default()).await.unwrap_err();
    assert!(
        matches!(&refused, kube::Error::Api(status) if status.code == 401),
        "{refused}"
    );

    let absent = plane
        .service_account_token(&namespace, "nobody", &[], hour)
        .await
        .unwrap_err();
    assert!(format!("{absent:#}").contains("\"nobody\" not found"), "{absent:#}");
}

#[tokio::test]
async fn a_crd_and_its_object_are_applied_from_one_text_in_any_order() {
    let plane = plane().await;
    let text = "
apiVersion: testkit.example/v1
kind: Lamp
metadata: {name: hall}
spec: {watts: 40}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: lamps.testkit.example}
spec:
  group: testkit.example
  scope: Namespaced
  names: {kind: Lamp, plural: lamps}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {watts: {type: integer, maximum: 100}}}}}}
";
    let applied = plane.apply_yaml(text).await.unwrap();
    assert_eq!(applied[1].data["spec"]["watts"], 40);
    assert_eq!(applied[1].metadata.namespace.as_deref(), Some("default"));
    let refused = plane
        .apply_yaml(&text.replace("watts: 40", "watts: 400"))
        .await
        .unwrap_err();
    assert!(
        matches!(refused.downcast_ref(), Some(kube::Error::Api(status)) if status.is_invalid()),
        "{refused:#}"
    );
}

#[tokio::test]
async fn a_folder_of_crds_is_installed_and_a_folder_of_something_else_refused() {
    let plane = plane().await;
    let folder = tempfile::tempdir().unwrap();
    let crd = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: chairs.testkit.example}
spec:
  group: testkit.example
  scope: Cluster
  names: {kind: Chair, plural: chairs}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
";
    std::fs::write(folder.path().join("chairs.yaml"), crd).unwrap();
    std::fs::write(folder.path().join("README.md"), "not a manifest").unwrap();
    plane.install_crds(folder.path()).await.unwrap();
    plane.install_crds(folder.path()).await.unwrap();
    let output = plane
        .kubectl(&["get", "chairs"], plane.admin_kubeconfig())
        .await
        .unwrap();
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("No resources found"),
        "{output:?}"
    );

    std::fs::write(
        folder.path().join("map.yaml"),
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: stray}}",
    )
    .unwrap();
    let error = plane.install_crds(folder.path()).await.unwrap_err().to_string();
    assert_eq!(error, "install CRDs: stray is a ConfigMap");
}

#[tokio::test]
async fn a_restarted_server_knows_what_it_knew_and_a_dropped_one_is_gone() {
    let begun = Instant::now();
    let plane = ControlPlane::start().await.unwrap();
    println!("ready after {:?}", begun.elapsed());
    let maps: Api<ConfigMap> = Api::default_namespaced(plane.admin_client().await.unwrap());
    let map = serde_json::from_value(serde_json::json!({"metadata": {"name": "kept"}})).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    plane.restart_api_server().await.unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(plane.admin_client().await.unwrap());
    assert!(maps.get_opt("kept").await.unwrap().is_some());

    let address = plane.address().trim_start_matches("https://").to_owned();
    let folder = plane.admin_kubeconfig().parent().unwrap().to_owned();
    assert!(std::net::TcpStream::connect(&address).is_ok());
    drop(plane);
    assert!(
        std::net::TcpStream::connect(&address).is_err(),
        "somebody still listens at {address}"
    );
    assert!(!folder.exists(), "{} is still there", folder.display());
}
