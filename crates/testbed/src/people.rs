//! Who else uses the cluster: clients under other identities than the administrator's, and hands that disturb Azure.

use anyhow::{Context, Result};
use kube::Client;
use sreg_api::names::{OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT};

use crate::Testbed;

impl Testbed {
    /// A client under the operator's own ServiceAccount.
    pub async fn as_operator(&self) -> Result<Client> {
        self.as_service_account(OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT)
            .await
    }

    /// A client under a ServiceAccount.
    pub async fn as_service_account(&self, namespace: &str, name: &str) -> Result<Client> {
        let kubeconfig = self.plane.kubeconfig_for_service_account(namespace, name).await?;
        self.plane.client(&kubeconfig).await
    }

    /// A client of a user who holds every right that RBAC can give within one namespace.
    pub async fn namespace_admin(&self, namespace: &str, user: &str) -> Result<Client> {
        self.plane
            .apply_yaml(&format!(
                "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: admin-{user}, namespace: {namespace}}}\n\
                 roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}\n\
                 subjects: [{{kind: User, name: {user}, apiGroup: rbac.authorization.k8s.io}}]\n"
            ))
            .await
            .context("bind the user")?;
        let kubeconfig = self.plane.kubeconfig_for_user(user, None)?;
        self.plane.client(&kubeconfig).await
    }

    /// Gives a ServiceAccount every right that RBAC can give: what then still holds it back is admission.
    pub async fn bind_cluster_admin(&self, namespace: &str, name: &str) -> Result<()> {
        self.plane
            .apply_yaml(&format!(
                "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: everything-{namespace}-{name}}}\n\
                 roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}\n\
                 subjects: [{{kind: ServiceAccount, name: {name}, namespace: {namespace}}}]\n"
            ))
            .await
            .context("bind the ServiceAccount")?;
        Ok(())
    }
}
